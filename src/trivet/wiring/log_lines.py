"""The lines of a process's log. What clients send and models raise is data: no line of it looks like one of ours."""

import logging

from trivet.errors import visible

__all__ = ["log_to_stderr"]


class _Lines(logging.Formatter):
    """One line a record; the lines of a traceback are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return visible(super().formatMessage(record)).replace("\n", "\\n")

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's own name
        lines = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join(f"  {line}" for line in visible(lines).split("\n"))


def log_to_stderr(text: str) -> None:
    """Have this process log warnings and errors.

    Args:
        text: how a line looks, in the style of `logging`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines(text))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
