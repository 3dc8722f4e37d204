"""The platform as processes: a small parent that starts control, supervisor and gateway, and restarts each that ends.

The parent owns the listening sockets, so that connections wait during a restart instead of being refused. It also holds the
lifeline, a pipe whose end ends every worker. It imports little and does little, so that it does not fail.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from trivet.disk.errors import disk
from trivet.disk.pulse import Pulse
from trivet.disk.replace import replace_file
from trivet.domain.pauses import doubling_s
from trivet.errors import Unavailable
from trivet.settings import Settings, settings_to_json
from trivet.wiring.children import Child, has_children
from trivet.wiring.credential_files import CredentialFiles
from trivet.wiring.home_lock import check_lock, only_platform
from trivet.wiring.listening import EVERYWHERE, LISTENERS, check_exposure, listening
from trivet.wiring.readiness import is_ready
from trivet.wiring.reloading import RELOADS, Reloads
from trivet.wiring.running_platform import PlatformInfo
from trivet.wiring.signals import end_signals, wait_for_signal, waking_signals
from trivet.wiring.watchdog import Suspects, Watchdog, shown_end
from trivet_worker.process import become_subreaper

__all__ = ["ROLES", "run_platform"]

ROLES = ("control", "supervisor", "gateway")
"""The processes, in order of their start."""

FIRST_PAUSE_S = 0.05
MOST_PAUSE_S = 5.0
HEALTHY_AFTER_S = 30.0
READY_WITHIN_S = 60.0
STOP_SLACK_S = 15.0
CUT_S = 1.0
WITH_CREDENTIALS = ("control", "gateway")


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
    reloads: Reloads
    secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    children: list[Child] = field(default_factory=lambda: [Child(role) for role in ROLES])
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
            lock = stack.enter_context(only_platform(settings.home))
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
            reloads=Reloads(credentials, run / RELOADS),
        )
        stack.callback((run / RELOADS).unlink, missing_ok=True)
        wake = stack.enter_context(waking_signals(_handlers(platform)))
        info = run / "platform.json"
        stack.callback(info.unlink, missing_ok=True)
        # From here on, any failure must leave no process behind.
        stack.callback(_end_all, platform, wake, report)
        for child in platform.children:
            _start(platform, child)
        report("starting", "control, supervisor, gateway")
        _wait_until_ready(platform, wake, info, on_ready)
        while not platform.stops:
            check_lock(settings.home, lock)
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


def _url(listener: socket.socket, settings: Settings, *, here: bool = False) -> str:
    """A listener's URL, for other machines if it is reachable from them; `here` gives one for this machine."""
    scheme = "http" if settings.tls_cert is None else "https"
    host, port = listener.getsockname()[:2]
    if host in EVERYWHERE:
        host = "127.0.0.1" if here else settings.hosts[0]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _handlers(platform: _Platform) -> dict[signal.Signals, Callable[[], None]]:
    def stop() -> None:
        platform.stops += 1

    def reload() -> None:
        platform.reloads.requests += 1

    return {**dict.fromkeys(end_signals(), stop), signal.SIGUSR1: reload, signal.SIGCHLD: lambda: None}


def _start(platform: _Platform, child: Child) -> None:
    listeners = {name: platform.listeners[name].fileno() for name, row in LISTENERS.items() if row.role == child.role}
    pulse = Pulse.create() if child.role == "gateway" else None
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
    descriptors = [platform.lifeline[0], *listeners.values(), *([] if pulse is None else [pulse.descriptor])]
    pid = child.start(config, descriptors=descriptors)
    if pulse is not None:
        child.watchdog = Watchdog(pid, pulse, hang_s=platform.settings.gateway_hang_s)


def _reap(platform: _Platform) -> list[tuple[Child, int]]:
    """Reap every process that ended: the three, and workers whose supervisor is gone."""
    ended: list[tuple[Child, int]] = []
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
                child.close(code)
                _close_watchdog(platform, child, code)
                ended.append((child, code))


def _send_credentials(platform: _Platform) -> None:
    """Give the processes the new certificate and token. One that does not take them is killed, and gets them when it starts again."""
    line = json.dumps(platform.reloads.files.current.to_json()).encode() + b"\n"
    for child in platform.children:
        if child.role in WITH_CREDENTIALS and child.process is not None and not child.send_line(line):
            child.send(signal.SIGKILL)


def _close_watchdog(platform: _Platform, child: Child, code: int) -> None:
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


def _wait_until_ready(platform: _Platform, wake: int, info: Path, on_ready: Callable[[PlatformInfo], None]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not platform.stops:
        for child, code in _reap(platform):
            raise Unavailable(
                f"the platform's {child.role} process ended while it started ({shown_end(code)})",
                fix="see its output above; `trivet doctor` checks the usual causes",
                reason="not_started",
            )
        if is_ready(platform.probe_url):
            break
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the platform was not ready within {READY_WITHIN_S:g} s",
                fix="`trivet doctor` checks the usual causes",
                reason="not_started",
            )
        wait_for_signal(wake, 0.02)
    if platform.stops:
        return
    ready = PlatformInfo(pid=os.getpid(), control_url=platform.control_url, infer_url=platform.infer_url)
    record = json.dumps({name: getattr(ready, name) for name in ("pid", "control_url", "infer_url")})
    with disk(info.parent, reason="home_not_writable"):
        replace_file(info, record.encode(), durable=False)
    on_ready(ready)


def _turn(platform: _Platform, wake: int, report: Callable[[str, str], None]) -> None:
    """Restart each process that ended, after a pause that grows while it keeps ending, and end a gateway that hangs."""
    now = time.monotonic()
    watchdogs = [(child, child.watchdog) for child in platform.children if child.watchdog is not None]
    for child, watchdog in watchdogs:
        number = watchdog.look(now)
        if number is not None and child.process is not None:
            report("warning", f"the {child.role} process hangs: sending {number.name}")
            child.send(number)
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
    wait_for_signal(wake, min([*pauses, *(watchdog.every_s for _, watchdog in watchdogs), platform.reloads.look_s]))


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
                child.send(number)
                signalled.add(role)
        _reap(platform)
        wait_for_signal(wake, 0.05)
    # Remaining workers end with the lifeline.
    for descriptor in platform.lifeline:
        os.close(descriptor)
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline and has_children():
        _reap(platform)
        wait_for_signal(wake, 0.02)
