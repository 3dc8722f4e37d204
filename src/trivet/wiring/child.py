"""The entry point of the platform's three processes: the role is an argument, all else comes through standard input."""

import contextlib
import faulthandler
import json
import os
import resource
import signal
import socket
import sys

from trivet.disk.peers import Peers
from trivet.disk.pulse import Pulse
from trivet.errors import TrivetError
from trivet.settings import settings_from_json
from trivet.wiring.credentials import Credentials
from trivet.wiring.log_lines import log_to_stderr
from trivet.wiring.parent_lines import ParentLines
from trivet_worker.process import die_with_parent

__all__ = ["main"]


def main() -> None:
    """Run control, supervisor or gateway until a signal to stop. Ends with the process that started it."""
    role = sys.argv[1]
    lines = ParentLines()
    config = json.loads(lines.first() or "null")
    if config is None:
        sys.exit("the platform ended before it sent its settings")
    die_with_parent(config["parent"])
    # Files below the home are their owner's only, whatever the home's own permissions.
    os.umask(0o077)
    _open_many_files()
    # A crash in native code, or a parent that ends a hung process with SIGABRT, leaves the stacks in the log.
    faulthandler.enable()
    # Until a process has its own handler, it can end at once without loss.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    log_to_stderr(f"%(asctime)s %(levelname)s {role}: %(message)s")
    settings = settings_from_json(config["settings"])
    peers = Peers(folder=settings.home / "run", secret=config["secret"])
    listeners = {name: socket.socket(fileno=number) for name, number in config["listeners"].items()}
    try:
        if role == "control":
            from trivet.wiring.control_process import run_control

            run_control(
                settings,
                peers=peers,
                listener=listeners["control"],
                credentials=Credentials.from_json(config["credentials"]),
                lines=lines,
                infer_url=config["infer_url"],
                again=config.get("again", False),
            )
        elif role == "supervisor":
            from trivet.wiring.supervisor_process import run_supervisor

            run_supervisor(settings, peers=peers, lifeline=config["lifeline"], again=config.get("again", False))
        else:
            from trivet.wiring.gateway_process import run_gateway

            pulse = config.get("pulse")
            run_gateway(
                settings,
                peers=peers,
                listeners=listeners,
                credentials=Credentials.from_json(config["credentials"]),
                lines=lines,
                pulse=None if pulse is None else Pulse(pulse),
                faulty={int(number): how for number, how in config.get("faulty", {}).items()},
            )
    except TrivetError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)


def _open_many_files() -> None:
    """Raise the soft limit of open files: connections, workers and logs take a descriptor each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # some systems report "no limit" but refuse it
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
