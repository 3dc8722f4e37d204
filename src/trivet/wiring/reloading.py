"""`trivet reload`: the parent reads certificate and token again, on SIGUSR1 or after a change of the files, and reports to the command.

The parent writes the outcome to `run/reload.json`, with the number of requests so far.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trivet.disk.replace import replace_file
from trivet.errors import Invalid, TrivetError, Unavailable
from trivet.wiring.credential_files import CredentialFiles

__all__ = ["RELOADS", "Reloads", "request_reload"]

RELOADS = "reload.json"
"""The file for outcomes, in the home's `run`."""

LOOK_S = 1.0
ANSWER_S = 20.0


class Reloads:
    """The parent's part.

    Args:
        files: the credentials.
        path: the file for outcomes.

    Attributes:
        requests: how often a reload was requested. A signal handler counts it.
        look_s: how often to call `turn`.
    """

    look_s = LOOK_S

    def __init__(self, files: CredentialFiles, path: Path) -> None:
        self.files = files
        self.requests = 0
        self._answered = 0
        self._path = path
        self._look_at = 0.0
        self._report_outcome(None)

    def turn(self, report: Callable[[str, str], None]) -> bool:
        """Read the files again if that was requested, or if they changed.

        Returns:
            Whether the credentials are others now, and to be sent to the processes.
        """
        requests = self.requests
        requested = requests > self._answered
        if not requested:
            now = time.monotonic()
            if now < self._look_at:
                return False
            self._look_at = now + LOOK_S
            if not self.files.changed():
                return False
        problem, changed = None, False
        try:
            changed = self.files.reload()
        except TrivetError as error:
            problem = error
            report("warning", f"certificate and token stay as they were: {error.message}")
        if changed:
            report("note", "certificate and token were reloaded")
        if requested:
            self._answered = requests
            self._report_outcome(problem)
        return changed

    def _report_outcome(self, problem: TrivetError | None) -> None:
        parts = None if problem is None else {name: getattr(problem, name) for name in ("what", "why", "fix", "reason")}
        outcome = json.dumps({"requests": self._answered, "problem": parts})
        # On a full disk the command gives up after a while.
        with contextlib.suppress(OSError):
            replace_file(self._path, outcome.encode(), durable=False)


def request_reload(pid: int, path: Path) -> None:
    """Have a platform read certificate and token again, and wait for the outcome.

    Args:
        pid: of the parent.
        path: the file for outcomes.

    Raises:
        Invalid: the files cannot be used. The platform goes on with those that it has.
        Unavailable: there is no outcome.
    """
    before = _outcome(path)
    if before is None:
        # An older release: SIGUSR1 would end it.
        raise Unavailable(
            "the platform does not reload", why=f"{path} is missing", fix="restart it: `trivet down`, `trivet up`"
        )
    os.kill(pid, signal.SIGUSR1)
    deadline = time.monotonic() + ANSWER_S
    while (outcome := _outcome(path) or before)["requests"] == before["requests"]:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the platform (pid {pid}) did not reload within {ANSWER_S:g} s",
                fix="see its log; `trivet doctor` checks the usual causes",
            )
        time.sleep(0.02)
    if outcome["problem"] is not None:
        raise Invalid(**outcome["problem"])


def _outcome(path: Path) -> dict[str, Any] | None:
    try:
        outcome: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return outcome
