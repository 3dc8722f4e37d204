"""The processes that the platform's parent starts. Each gets what it needs as lines on its standard input."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trivet.wiring.watchdog import Watchdog

__all__ = ["Child", "has_children"]

SEND_S = 2.0


@dataclass(slots=True)
class Child:
    """One process, and its restarts in the last minutes."""

    role: str
    process: subprocess.Popen[bytes] | None = None
    watchdog: Watchdog | None = None
    started_at: float = 0.0
    ends: int = 0
    start_at: float = 0.0

    def start(self, config: dict[str, Any], *, descriptors: Sequence[int]) -> int:
        """Start the process with a configuration, which holds secrets, and descriptors. Gives its process id."""
        process = subprocess.Popen(
            [sys.executable, "-m", "trivet.wiring.child", self.role],
            stdin=subprocess.PIPE,
            pass_fds=descriptors,
            # Ctrl-C in the terminal goes to the parent only, which stops the others in order.
            process_group=0,
        )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: its end is handled elsewhere
            process.stdin.write(json.dumps(config).encode() + b"\n")
            process.stdin.flush()
        self.process = process
        self.started_at = time.monotonic()
        return process.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.process is not None:
            # Not `Popen.send_signal`, which reaps a process that has ended: only the parent may, because it restarts what it reaps.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def send_line(self, line: bytes) -> bool:
        """Write a line to its standard input. Gives whether it took all of it within two seconds."""
        assert self.process is not None
        assert self.process.stdin is not None
        pipe = self.process.stdin.fileno()
        os.set_blocking(pipe, False)
        deadline = time.monotonic() + SEND_S
        while line and select.select([], [pipe], [], max(0.0, deadline - time.monotonic()))[1]:
            try:
                line = line[os.write(pipe, line) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return False
        return not line

    def close(self, code: int) -> None:
        """Close what belongs to a process that was reaped."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.returncode = code
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process = None


def has_children() -> bool:
    """Whether this process has a child, its own or one that was left to it."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True
