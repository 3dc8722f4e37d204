"""The platform as processes: a small parent that starts control, supervisor and gateway, and restarts each that ends.

The parent owns the listening sockets, so that connections wait during a restart instead of being refused. It also holds the
lifeline, a pipe whose end ends every worker. It imports little and does little, so that it does not fail.
"""

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from trivet.disk.errors import disk
from trivet.disk.locks import LockBusyError, held
from trivet.disk.pulse import Pulse
from trivet.disk.replace import replace_file
from trivet.domain.pauses import doubling_s
from trivet.errors import Conflict, NotFound, Unavailable
from trivet.settings import Settings, settings_to_json
from trivet.wiring.credential_files import CredentialFiles
from trivet.wiring.listening import EVERYWHERE, LISTENERS, check_exposure, listening
from trivet.wiring.reloading import Reloads, request_reload
from trivet.wiring.signals import end_signals
from trivet.wiring.watchdog import Suspects, Watchdog, shown_end
from trivet_worker.process import become_subreaper

__all__ = ["ROLES", "PlatformInfo", "read_platform", "reload_platform", "run_platform", "stop_platform"]

ROLES = ("control", "supervisor", "gateway")
"""The processes, in order of their start."""

FIRST_PAUSE_S = 0.05
MOST_PAUSE_S = 5.0
HEALTHY_AFTER_S = 30.0
READY_WITHIN_S = 60.0
STOP_SLACK_S = 15.0
CUT_S = 1.0
SEND_S = 2.0
RELOADS = "reload.json"
WITH_CREDENTIALS = ("control", "gateway")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformInfo:
    """A running platform.

    Attributes:
        pid: of the parent.
        control_url: of the control API.
        infer_url: of the gateway.
    """

    pid: int
    control_url: str
    infer_url: str


@dataclass(slots=True)
class _Child:
    """One of the three processes, and its restarts in the last minutes."""

    role: str
    process: subprocess.Popen[bytes] | None = None
    watchdog: Watchdog | None = None
    started_at: float = 0.0
    ends: int = 0
    start_at: float = 0.0


@dataclass(slots=True)
class _Platform:
    """The parent's state."""

    settings: Settings
    listeners: dict[str, socket.socket]
    control_url: str
    infer_url: str
    probe_url: str
    anyone: bool
    lifeline: tuple[int, int]
    lock: int
    reloads: Reloads
    secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    children: list[_Child] = field(default_factory=lambda: [_Child(role) for role in ROLES])
    suspects: Suspects = field(default_factory=Suspects)
    stops: int = 0


def run_platform(
    settings: Settings,
    *,
    report: Callable[[str, str], None],
    on_ready: Callable[[PlatformInfo], None],
    anyone: bool = False,
) -> None:
    """Run the platform until SIGINT, SIGTERM or SIGHUP. A second signal cuts what is still in flight.

    Args:
        settings: home, addresses, database, limits.
        report: called with what is going on.
        on_ready: called once everything answers.
        anyone: be reachable from other machines without TLS.

    Raises:
        Conflict: a platform already runs from this home, or a port is in use.
        Invalid: it would be reachable from other machines without TLS, or its certificate or token cannot be used.
        Unavailable: the home is not writable or full, a process could not be started (its output is on stderr), or the home's
            `run` was removed.
    """
    # Children inherit it: files below the home are their owner's only, whatever the home's own permissions.
    os.umask(0o077)
    run = settings.home / "run"
    with contextlib.ExitStack() as stack:
        with disk(settings.home, reason="home_not_writable"):
            run.mkdir(parents=True, exist_ok=True, mode=0o700)
            settings.home.chmod(0o700)
            lock = stack.enter_context(_only_one(settings.home))
            _forget_another_home(run)
        listeners = stack.enter_context(listening(settings, roles=ROLES))
        for listener in listeners.values():
            check_exposure(listener, tls_cert=settings.tls_cert, tls_key=settings.tls_key, anyone=anyone)
        credentials = CredentialFiles(settings, os.environ)
        become_subreaper()
        if listeners["control"].getsockname()[0] in EVERYWHERE:
            # It is known by its given names, or by the machine's.
            settings = replace(settings, hosts=(*settings.hosts, socket.gethostname()))
        platform = _Platform(
            settings=settings,
            listeners=listeners,
            control_url=_url(listeners["control"], settings),
            infer_url=_url(listeners["http"], settings),
            probe_url=_url(listeners["control"], settings, here=True),
            anyone=anyone,
            lifeline=os.pipe(),
            lock=lock,
            reloads=Reloads(credentials, run / RELOADS),
        )
        stack.callback((run / RELOADS).unlink, missing_ok=True)
        wake = stack.enter_context(_signals(platform))
        info = run / "platform.json"
        stack.callback(info.unlink, missing_ok=True)
        # From here on, any failure must leave no process behind.
        stack.callback(_end_all, platform, wake, report)
        for child in platform.children:
            _start(platform, child)
        report("starting", "control, supervisor, gateway")
        _wait_until_ready(platform, wake, info, on_ready)
        while not platform.stops:
            _check_lock(platform)
            _turn(platform, wake, report)
        report("stopping", "requests in flight are answered first")


def _forget_another_home(run: Path) -> None:
    """Remove the records of workers and routes if this home is a copy: they name workers of the home that it was copied from."""
    about = run.stat()
    identity = f"{about.st_dev} {about.st_ino} {run.resolve()}"
    mark = run / "home"
    with contextlib.suppress(OSError):
        if mark.read_text(encoding="utf-8") == identity:
            return
    shutil.rmtree(run / "workers", ignore_errors=True)
    for name in ("routes.json", "supervisor.json"):
        (run / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # on a full disk the records are removed again at the next start
        mark.write_text(identity, encoding="utf-8")


def read_platform(home: Path) -> PlatformInfo | None:
    """The platform that runs from a home, or None."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if _is_locked(home):
            return PlatformInfo(**json.loads((home / "run" / "platform.json").read_text()))
    return None


def stop_platform(home: Path, *, within_s: float) -> bool:
    """Stop the platform of a home, and wait for its end.

    Returns:
        Whether one was running.

    Raises:
        Unavailable: it did not end in time.
    """
    if not _is_locked(home):
        return False
    pid = int(_lock_of(home).read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + within_s
    while _is_locked(home):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the platform (pid {pid}) has not ended within {within_s:g} s",
                why="requests in flight are answered first",
                fix="wait, or run `trivet down` again: a second signal cuts them off",
            )
        time.sleep(0.02)
    return True


def reload_platform(home: Path) -> None:
    """Have the platform of a home read its certificate and token again.

    Raises:
        NotFound: no platform runs from it.
        Invalid, Unavailable: as for `request_reload`.
    """
    if not _is_locked(home):
        raise NotFound(f"no platform runs from {home}", fix="start it: `trivet up`")
    request_reload(int(_lock_of(home).read_text()), home / "run" / RELOADS)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[int]:
    """Allow one platform a home: the kernel releases the lock, whose descriptor this gives, when this process ends."""
    path = _lock_of(home)
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(held(path))
        except LockBusyError as error:
            pid = path.read_text().strip() or "unknown"
            raise Conflict(
                f"a platform already runs from {home} (pid {pid})",
                fix="use it, stop it with `trivet down`, or give another --home",
                reason="already_running",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor


def _lock_of(home: Path) -> Path:
    return home / "run" / "up.lock"


def _check_lock(platform: _Platform) -> None:
    """Check that the lock that this platform holds is still the one of its home.

    Raises:
        Unavailable: the home's `run` was removed.
    """
    path = _lock_of(platform.settings.home)
    try:
        if os.path.samestat(path.stat(), os.fstat(platform.lock)):
            return
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError:  # a disk that fails for a moment
        return
    raise Unavailable(
        f"{path.parent} was removed while the platform ran from it",
        why="its processes do not find each other without it, and another platform could start from the same home",
        fix="start the platform again: `trivet up`",
        reason="run_folder_removed",
    )


def _is_locked(home: Path) -> bool:
    path = _lock_of(home)
    if not path.exists():
        return False
    try:
        with held(path, shared=True):
            return False
    except LockBusyError:
        return True
    except OSError:
        return False


def _url(listener: socket.socket, settings: Settings, *, here: bool = False) -> str:
    """A listener's URL, for other machines if it is reachable from them; `here` gives one for this machine."""
    scheme = "http" if settings.tls_cert is None else "https"
    host, port = listener.getsockname()[:2]
    if host in EVERYWHERE:
        host = "127.0.0.1" if here else settings.hosts[0]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@contextlib.contextmanager
def _signals(platform: _Platform) -> Iterator[int]:
    """A descriptor that becomes readable on a signal."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)

    def stop(_number: int, _frame: FrameType | None) -> None:
        platform.stops += 1

    before = {number: signal.signal(number, stop) for number in end_signals()}

    def reload(_number: int, _frame: FrameType | None) -> None:
        platform.reloads.requests += 1

    before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, reload)
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    old = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)


def _start(platform: _Platform, child: _Child) -> None:
    """Start a process. Its settings, which hold secrets, go through its standard input."""
    listeners = {name: platform.listeners[name].fileno() for name, row in LISTENERS.items() if row.role == child.role}
    pulse = Pulse.create() if child.role == "gateway" else None
    process = subprocess.Popen(
        [sys.executable, "-m", "trivet.wiring.child", child.role],
        stdin=subprocess.PIPE,
        pass_fds=[platform.lifeline[0], *listeners.values(), *([] if pulse is None else [pulse.descriptor])],
        # Ctrl-C in the terminal goes to the parent only, which stops the others in order.
        process_group=0,
    )
    config = {
        "settings": settings_to_json(platform.settings),
        "listeners": listeners,
        "lifeline": platform.lifeline[0],
        "secret": platform.secret,
        "control_url": platform.control_url,
        "infer_url": platform.infer_url,
        "parent": os.getpid(),
        "anyone": platform.anyone,
        "again": child.started_at > 0.0,
        "pulse": None if pulse is None else pulse.descriptor,
        "faulty": platform.suspects.faulty,
        "credentials": platform.reloads.files.current.to_json() if child.role in WITH_CREDENTIALS else None,
    }
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it died: its end is handled elsewhere
        process.stdin.write(json.dumps(config).encode() + b"\n")
        process.stdin.flush()
    child.process = process
    child.started_at = time.monotonic()
    if pulse is not None:
        child.watchdog = Watchdog(process.pid, pulse, hang_s=platform.settings.gateway_hang_s)


def _reap(platform: _Platform) -> list[tuple[_Child, int]]:
    """Reap every process that ended: the three, and workers whose supervisor is gone."""
    ended: list[tuple[_Child, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        for child in platform.children:
            if child.process is not None and child.process.pid == pid:
                code = os.waitstatus_to_exitcode(status)
                child.process.returncode = code
                _close_input(child.process)
                child.process = None
                _close_watchdog(platform, child, code)
                ended.append((child, code))


def _close_input(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _send_credentials(platform: _Platform) -> None:
    """Give the processes the new certificate and token. One that does not take them is killed, and gets them when it starts again."""
    line = json.dumps(platform.reloads.files.current.to_json()).encode() + b"\n"
    for child in platform.children:
        if child.role in WITH_CREDENTIALS and child.process is not None:
            assert child.process.stdin is not None
            if not _write(child.process.stdin.fileno(), line):
                _send(child, signal.SIGKILL)


def _write(pipe: int, content: bytes) -> bool:
    os.set_blocking(pipe, False)
    deadline = time.monotonic() + SEND_S
    while content and select.select([], [pipe], [], max(0.0, deadline - time.monotonic()))[1]:
        try:
            content = content[os.write(pipe, content) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            return False
    return not content


def _close_watchdog(platform: _Platform, child: _Child, code: int) -> None:
    """Note which native models ended or blocked a process."""
    if child.watchdog is None:
        return
    how = (
        f"the event loop did not turn for {platform.settings.gateway_hang_s:g} s"
        if child.watchdog.hung
        else shown_end(code)
    )
    platform.suspects.add(child.watchdog.suspects(code), f"the gateway ended while it ran this model ({how})")
    child.watchdog.close()
    child.watchdog = None


def _wait(wake: int, seconds: float) -> None:
    """Sleep until a signal or a time limit."""
    if select.select([wake], [], [], max(0.0, seconds))[0]:
        with contextlib.suppress(BlockingIOError):
            os.read(wake, 4096)


def _wait_until_ready(platform: _Platform, wake: int, info: Path, on_ready: Callable[[PlatformInfo], None]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not platform.stops:
        for child, code in _reap(platform):
            raise Unavailable(
                f"the platform's {child.role} process ended while it started ({shown_end(code)})",
                fix="see its output above; `trivet doctor` checks the usual causes",
                reason="not_started",
            )
        if _answers(platform.probe_url):
            break
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the platform was not ready within {READY_WITHIN_S:g} s",
                fix="`trivet doctor` checks the usual causes",
                reason="not_started",
            )
        _wait(wake, 0.02)
    if platform.stops:
        return
    ready = PlatformInfo(pid=os.getpid(), control_url=platform.control_url, infer_url=platform.infer_url)
    record = json.dumps({name: getattr(ready, name) for name in ("pid", "control_url", "infer_url")})
    with disk(info.parent, reason="home_not_writable"):
        replace_file(info, record.encode(), durable=False)
    on_ready(ready)


def _answers(url: str) -> bool:
    """Whether the control API reports that the supervisor and the gateway are ready."""
    import http.client
    import ssl

    scheme, _, address = url.partition("://")
    connection: http.client.HTTPConnection
    if scheme == "https":
        # The request stays on this machine and has no secret in it.
        connection = http.client.HTTPSConnection(address, timeout=2, context=ssl._create_unverified_context())  # noqa: S323, SLF001
    else:
        connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        if answer.status == 200:
            return True
        # Predictions are answered also while the database is read-only, or a package is missing.
        parts = json.loads(answer.read())
        return {parts.get("supervisor"), parts.get("gateway")} == {"ready"}
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _turn(platform: _Platform, wake: int, report: Callable[[str, str], None]) -> None:
    """Restart each process that ended, after a pause that grows while it keeps ending, and end a gateway that hangs."""
    now = time.monotonic()
    watchdogs = [(child, child.watchdog) for child in platform.children if child.watchdog is not None]
    for child, watchdog in watchdogs:
        number = watchdog.look(now)
        if number is not None and child.process is not None:
            report("warning", f"the {child.role} process hangs: sending {number.name}")
            _send(child, number)
    for child, code in _reap(platform):
        if now - child.started_at > HEALTHY_AFTER_S:
            child.ends = 0
        child.start_at = now + doubling_s(child.ends, first_s=FIRST_PAUSE_S, most_s=MOST_PAUSE_S)
        child.ends += 1
        report("warning", f"the {child.role} process ended ({shown_end(code)}); restarting it")
    if platform.reloads.turn(report):
        _send_credentials(platform)
    due = [child for child in platform.children if child.process is None]
    for child in due:
        if child.start_at <= now:
            _start(platform, child)
    pauses = [child.start_at - now for child in due if child.process is None]
    _wait(wake, min([*pauses, *(watchdog.every_s for _, watchdog in watchdogs), platform.reloads.look_s]))


def _end_all(platform: _Platform, wake: int, report: Callable[[str, str], None]) -> None:
    """End all processes: gateway and control API at once, then the supervisor, because requests in flight need its workers.

    One deadline holds for all. It, or a second signal, cuts what is in flight, and kills what is left a moment later.
    """
    settings = platform.settings
    deadline = time.monotonic() + settings.stop_delay_s + settings.drain_s + STOP_SLACK_S
    stops = max(platform.stops, 1)
    cut = False
    signalled: set[str] = set()
    while running := {child.role: child for child in platform.children if child.process is not None}:
        number = signal.SIGTERM
        if cut and time.monotonic() > deadline:
            number, deadline = signal.SIGKILL, float("inf")
            signalled.clear()
            report("warning", f"killing what has not ended: {', '.join(running)}")
        elif not cut and (platform.stops > stops or time.monotonic() > deadline):
            cut, deadline = True, time.monotonic() + CUT_S
            signalled.clear()
        for role, child in running.items():
            if role not in signalled and (role != "supervisor" or "gateway" not in running or cut):
                _send(child, number)
                signalled.add(role)
        _reap(platform)
        _wait(wake, 0.05)
    # Remaining workers end with the lifeline.
    for descriptor in platform.lifeline:
        os.close(descriptor)
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline and _has_children():
        _reap(platform)
        _wait(wake, 0.02)


def _send(child: _Child, number: signal.Signals) -> None:
    if child.process is not None:
        # Not `Popen.send_signal`, which reaps a process that has ended: only `_reap` may, because it restarts what it reaps.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.process.pid, number)


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True
