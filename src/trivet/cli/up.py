"""`trivet up`, `trivet down` and `trivet reload`: the platform on this machine."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trivet.cli.options import HomeOption, OfflineOption, WheelsOption
from trivet.cli.output import show
from trivet.cli.reporter import Reporter
from trivet.disk.errors import disk
from trivet.errors import Unavailable
from trivet.settings import Settings, read_settings, settings_to_environ

if TYPE_CHECKING:
    from trivet.wiring.running_platform import PlatformInfo

__all__ = ["down", "reload", "up"]

LISTENERS = "Listeners"
KEEPS = "Storage"
DETACH_WITHIN_S = 90.0
SLACK_S = 20.0


def up(
    home: HomeOption = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the control API; 0 picks a free one.",
            show_default="8000",
            rich_help_panel=LISTENERS,
        ),
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(
            "--http-port",
            min=0,
            max=65535,
            help="Port of predictions over HTTP; 0 picks a free one.",
            show_default="8080",
            rich_help_panel=LISTENERS,
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on. Beyond loopback it needs --tls-cert and --tls-key.",
            show_default="127.0.0.1",
            rich_help_panel=LISTENERS,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            help="PEM file with the certificate of all listeners.", show_default=False, rich_help_panel=LISTENERS
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file with its key.", show_default=False, rich_help_panel=LISTENERS)
    ] = None,
    anyone: Annotated[
        bool,
        typer.Option(
            "--let-anyone-on-the-network-run-code-here",
            help="Listen beyond loopback without TLS. Others on the network can then read the token, and with it run programs here.",
            show_default=False,
            rich_help_panel=LISTENERS,
        ),
    ] = False,
    access_log: Annotated[
        bool | None,
        typer.Option(
            "--access-log",
            help="Write a JSON line for each prediction request to logs/access.jsonl in the home.",
            show_default=False,
            rich_help_panel=KEEPS,
        ),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="postgresql://… or sqlite:///…. Put one with a password into TRIVET_DATABASE_URL: arguments can be "
            "seen by every user of this machine.",
            show_default="a SQLite file in the home",
            rich_help_panel=KEEPS,
        ),
    ] = None,
    blob_url: Annotated[
        str | None,
        typer.Option(
            help="s3://…, gs://…, az://… or file:///…",
            show_default="a folder in the home",
            rich_help_panel=KEEPS,
        ),
    ] = None,
    offline: OfflineOption = None,
    wheels: WheelsOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready, and leave it running.")
    ] = False,
    until_input_ends: Annotated[
        bool, typer.Option("--until-input-ends", help="Stop when standard input ends.")
    ] = False,
) -> None:
    """Run the platform: models, pipelines and deployments that survive a restart.

    It is ready when the control API, the supervisor and the gateway answer. Deployments of the last run start again.

    Examples:

      trivet up

      trivet up --home ./platform --port 9000 --http-port 9080 --detach

      TRIVET_DATABASE_URL=postgresql://trivet:secret@db/trivet trivet up
    """
    settings = read_settings(
        os.environ,
        home=home,
        port=port,
        http_port=http_port,
        host=host,
        tls_cert=tls_cert,
        tls_key=tls_key,
        database_url=database_url,
        blob_url=blob_url,
        offline=offline,
        wheels=wheels,
        access_log=access_log,
    )
    from trivet.wiring.log_lines import log_to_stderr
    from trivet.wiring.platform import run_platform
    from trivet.wiring.protections import check_protections

    if detach and until_input_ends:
        raise typer.BadParameter("cannot be combined with --detach", param_hint="--until-input-ends")
    protections = check_protections(settings)
    if detach:
        _detached(settings, anyone=anyone, sandbox=protections.sentence)
        return
    if until_input_ends:
        threading.Thread(target=_stop_with_input, daemon=True).start()
    log_to_stderr("%(asctime)s %(levelname)s %(name)s: %(message)s")
    with Reporter() as report:

        def ready(info: "PlatformInfo") -> None:
            report.done()
            _print_ready(info)

        report("sandbox", protections.sentence)
        run_platform(settings, report=report, on_ready=ready, anyone=anyone)


def down(home: HomeOption = None) -> None:
    """Stop the platform of a home. Deployments start again at the next `trivet up`.

    Examples:

      trivet down

      trivet down --home ./platform
    """
    from trivet.wiring.running_platform import stop_platform

    settings = read_settings(os.environ, home=home)
    with Reporter() as report:
        report("stopping", "requests in flight are answered first")
        was_running = stop_platform(settings.home, within_s=settings.stop_delay_s + settings.drain_s + SLACK_S)
    show("Stopped." if was_running else f"Nothing runs from {settings.home}.")


def reload(home: HomeOption = None) -> None:
    """Have a running platform read its certificate and token again, both or none.

    It also does so by itself when the files change.

    Examples:

      trivet reload

      trivet reload --home ./platform
    """
    from trivet.wiring.running_platform import reload_platform

    reload_platform(read_settings(os.environ, home=home).home)
    show("Reloaded: certificate and token.")


def _stop_with_input() -> None:
    """Stop when standard input ends: the process that started this has ended."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _print_ready(info: "PlatformInfo") -> None:
    show(f"Ready: {info.control_url} (control), {info.infer_url} (predictions)")


def _detached(settings: Settings, *, anyone: bool, sandbox: str) -> None:
    """Start the platform as its own process, and wait until it is ready."""
    os.umask(0o077)
    log = settings.home / "logs" / "platform.log"
    with disk(settings.home, reason="home_not_writable"):
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.home.chmod(0o700)
    command = [sys.executable, "-m", "trivet", "up"]
    if anyone:
        command.append("--let-anyone-on-the-network-run-code-here")
    with log.open("ab") as output, Reporter() as report:
        report("sandbox", sandbox)
        report("starting", f"its log is {log}")
        size = log.stat().st_size
        process: subprocess.Popen[bytes] | None = None
        try:
            with _signals_held(signal.SIGINT, signal.SIGTERM):
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # Not as arguments, which every user of the machine can read.
                    env={**os.environ, **settings_to_environ(settings)},
                    start_new_session=True,
                )
            info = _wait_until_ready(process, settings.home)
        except BaseException:
            # Its start was not reported, so it must not keep running.
            if process is not None:
                process.terminate()
            raise
        if info is None:
            process.terminate()
            with log.open("rb") as file:
                file.seek(size)
                tail = file.read()[-2000:].decode(errors="replace").strip()
            raise Unavailable("the platform did not start", why=tail, fix=f"its log is {log}", reason="not_started")
    _print_ready(info)


@contextlib.contextmanager
def _signals_held(*numbers: signal.Signals) -> Iterator[None]:
    """A signal that comes in the block takes effect at its end: a process that is being started gets a name first."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for held, handler in before.items():
            signal.signal(held, handler)
    for one in came:
        signal.raise_signal(one)


def _wait_until_ready(process: "subprocess.Popen[bytes]", home: Path) -> "PlatformInfo | None":
    """The record of a started platform; None if it ended, or takes too long."""
    from trivet.wiring.running_platform import read_platform

    deadline = time.monotonic() + DETACH_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        info = read_platform(home)
        if info is not None and info.pid == process.pid:
            return info
        time.sleep(0.02)
    return None
