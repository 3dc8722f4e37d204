"""The worker program: it reads the configuration, loads the model, and answers until its end.

Before the fork of the guardian it imports only a few modules of the standard library, so that the guardian stays small.
"""

import os
import sys
import time

from trivet_worker.guardian import fork_guarded
from trivet_worker.process import apply_limits, read_line, take_streams
from trivet_worker.protocol import Events, OtherProtocol, parse_config

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
    stop = fork_guarded(config.folder, config.lifeline)
    events = Events(take_streams())
    apply_limits(memory_bytes=config.memory_bytes, open_files=config.open_files)
    try:
        # Imports from here on are in the model's process only.
        from trivet_worker.lifetime import run
    except ImportError as error:
        events.send("failed", error=_worker_failed(error))
        raise
    run(config, events, stop=stop, started=started)


def _worker_failed(error: Exception) -> "dict[str, str]":
    return {"reason": "worker_failed", "type": type(error).__name__, "message": str(error)}


if __name__ == "__main__":
    main()
