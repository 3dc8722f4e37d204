"""The worker program: it reads the configuration, loads the model, and answers until its end.

Its interpreter starts without the environment's packages (`-S`): code of the environment, `.pth` files included, runs in the sandbox
only. Before the guardians are forked it imports only a few modules of the standard library, so that they stay small.
"""

import os
import sys
import time
from typing import List

from trivet_worker.guardian import fork_guarded
from trivet_worker.interpreter import open_environment, own_folders
from trivet_worker.process import apply_limits, die_with_parent, read_line, take_streams
from trivet_worker.protocol import Config, Events, OtherProtocol, parse_config

__all__ = ["main"]


def main() -> None:
    """Run one worker. It reads its configuration from standard input, and ends when that is closed."""
    started = time.monotonic()
    line = read_line(0)
    if not line:
        sys.exit("the parent ended before it sent a configuration")
    try:
        config = parse_config(line)
    except OtherProtocol as error:
        Events(take_streams()).send("failed", error=_worker_failed(error))
        sys.exit(str(error))
    if config.lock is not None:
        os.set_inheritable(config.lock, False)  # for this process and the model's, not for what the model starts
    guarded = fork_guarded(config.folder, config.lifeline, config.memory_bytes)
    events = Events(take_streams())
    apply_limits(memory_bytes=config.memory_bytes, open_files=config.open_files)
    # Before any code of the environment runs, which could report what it likes.
    events.send("restricted", protections=_enter_sandbox(config, events))
    # The kernel forgets this when a process changes its user.
    die_with_parent(guarded.parent)
    try:
        # Imports from here on are in the model's process only.
        open_environment()
        from trivet_worker.lifetime import run
    except ImportError as error:
        events.send("failed", error=_worker_failed(error))
        raise
    run(config, events, stop=guarded.stop, started=started)


def _enter_sandbox(config: Config, events: Events) -> "List[str]":
    """Restrict this process. Returns what holds."""
    if config.sandbox == "off" and config.network:
        return []  # without ctypes, which an interpreter may lack
    from trivet_worker.sandbox import Grants, restrict

    grants = Grants(
        read=(config.package_root, *own_folders(), *config.readable),
        hidden=config.home,
        scratch=config.scratch,
        folder=config.folder,
        network=config.network,
        tmp=config.tmp,
    )
    try:
        return restrict(config.sandbox, grants)
    except OSError as error:
        events.send("failed", error={"reason": "sandbox_missing", "type": "OSError", "message": str(error)})
        sys.exit(str(error))


def _worker_failed(error: Exception) -> "dict[str, str]":
    return {"reason": "worker_failed", "type": type(error).__name__, "message": str(error)}


if __name__ == "__main__":
    main()
