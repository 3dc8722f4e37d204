"""Reports an exception: its type, its message, its line in the package, its traceback."""

import os
import traceback
from types import TracebackType
from typing import Any, Dict, Optional

from trivet_worker.absent import hint_for

__all__ = ["PackageError", "message_of", "place_of", "printable", "report_of", "trace_of"]

_MAX_MESSAGE = 4_000
_MAX_TRACE = 20_000


class PackageError(Exception):
    """A package does not follow its framework's contract. The message is for its author."""


def message_of(error: BaseException) -> str:
    """The exception's own text, or a replacement if `__str__` fails."""
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be shown: __str__ failed)"
    hint = hint_for(error)
    return printable(text[:_MAX_MESSAGE]) + (". " + hint if hint else "")


def printable(text: str) -> str:
    """The text with lone surrogates escaped: a file's name may hold them, and JSON cannot."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def place_of(error: BaseException, root: str) -> Optional[str]:
    """`file.py:12`: the innermost line of the traceback in the package."""
    if isinstance(error, SyntaxError) and error.filename and _inside(error.filename, root):
        return f"{os.path.relpath(error.filename, root)}:{error.lineno}"
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if _inside(name, root):
            found = f"{os.path.relpath(name, root)}:{line}"
    return found


def trace_of(error: BaseException, root: str) -> str:
    """The traceback as Python prints it, from the package's first line on; only its end if it is very long."""
    start: Optional[TracebackType] = error.__traceback__
    while start is not None and not _inside(start.tb_frame.f_code.co_filename, root):
        start = start.tb_next
    try:
        lines = traceback.format_exception(type(error), error, start or error.__traceback__)
    except Exception:
        lines = [type(error).__name__ + "\n"]
    return printable("".join(lines)[-_MAX_TRACE:])


def report_of(error: BaseException, root: str, *, reason: str) -> Dict[str, Any]:
    """The whole report, as an event has it."""
    return {
        "reason": reason,
        "type": type(error).__name__,
        "message": message_of(error),
        "trace": trace_of(error, root),
        "path": place_of(error, root),
    }


def _inside(file_name: str, root: str) -> bool:
    return os.path.realpath(file_name).startswith(root + os.sep)
