"""Progress on stderr: a live line in a terminal, a line for each stage elsewhere. Scripts read stdout."""

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from trivet.errors import visible

__all__ = ["Reporter"]

EVERY_S = 5.0
LASTING = ("warning", "note", "traceback")


class Reporter:
    """Shows stages as they start. Use it in a `with` block; a quiet one shows warnings only."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._status: Any = None
        self._console: Any = None
        self._last = ("", "")
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not self._quiet:
            # Importing rich is slow, and only a terminal needs it.
            from rich.console import Console

            self._console = Console(stderr=True, highlight=False)
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done()

    def done(self) -> None:
        """Remove the live line."""
        status, self._status = self._status, None
        if status is not None:
            with suppress(OSError):
                status.stop()

    def __call__(self, stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
        """Show a stage."""
        count = f" {done}/{total}" if done is not None and total else ""
        text = visible(f"{stage}{count}: {detail}" if detail else f"{stage}{count}")
        if stage in LASTING:
            self._print(text)
        elif self._status is not None:
            self._status.update(_escaped(text))
            if (stage, detail) != self._last and stage != self._last[0]:
                self._last = (stage, detail)
        elif not self._quiet and (stage != self._last[0] or time.monotonic() - self._shown_at > EVERY_S):
            self._last = (stage, detail)
            self._shown_at = time.monotonic()
            self._print(text)

    def _print(self, text: str) -> None:
        # A terminal that was closed takes nothing more, and what is reported goes on.
        with suppress(OSError):
            if self._console is not None:
                self._console.print(_escaped(text))
            else:
                print(text, file=sys.stderr, flush=True)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
