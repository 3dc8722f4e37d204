"""Reports an exception: its type, its message, its line in the package, its traceback.

The exception is the model's: every part of it may be of any size and raise when it is read.
"""

import os
import re
import sys
import traceback
from types import TracebackType
from typing import Any, Callable, Dict, Optional

from trivet_worker.absent import hint_for
from trivet_worker.hints import fix_for

__all__ = [
    "HidePaths",
    "PackageError",
    "hide_paths",
    "message_of",
    "place_of",
    "printable",
    "report_of",
    "trace_of",
    "type_of",
]

HidePaths = Callable[[str], str]
"""Replaces this machine's paths in a text that clients see."""

_MAX_MESSAGE = 4_000
# A path may begin in what is kept and end after it.
_MAX_READ = _MAX_MESSAGE + 4_096
_MAX_TYPE = 200
_MAX_TRACE = 20_000


class PackageError(Exception):
    """A package does not follow its framework's contract. The message is for its author."""


def hide_paths(*, home: str, package: str, scratch: str) -> HidePaths:
    """What replaces the paths of a worker's folders by their names.

    Args:
        home: the platform's own folder, absolute as the others are; empty if it is not known.
        package: the folder of the model's files.
        scratch: the model's working folder.
    """
    named = {home: "<home>", package: "<package>", scratch: "<scratch>"}
    if sys.prefix != sys.base_prefix:
        named[sys.prefix] = "<environment>"
    names = {}
    for path, name in named.items():
        for spelled in (path, os.path.realpath(path)):
            if path and spelled != os.sep:
                names[spelled] = name
    # The longest one that fits: the others lie in the home.
    paths = "|".join(re.escape(path) for path in sorted(names, key=len, reverse=True))
    pattern = re.compile(rf"(?:{paths})(?![\w.-])" if paths else "(?!)")
    return lambda text: pattern.sub(lambda found: names[found.group()], text)


def message_of(error: BaseException, hide: HidePaths) -> str:
    """The exception's own text, or a replacement if `__str__` fails."""
    try:
        # A subclass of str may have methods of its own.
        text = hide(str.__getitem__(str(error), slice(_MAX_READ)))
        hint = hint_for(error) or _hint_for_closed(error, text)
    except BaseException:
        text, hint = "(its message cannot be shown: __str__ failed)", None
    return printable(text[:_MAX_MESSAGE]) + (". " + hint if hint else "")


def _hint_for_closed(error: BaseException, shown: str) -> Optional[str]:
    """What to do about a path in `/tmp`, which the sandbox closes: Python says no more than that it is not permitted."""
    if isinstance(error, PermissionError) and "/tmp/" in shown:  # noqa: S108 - a text
        return "A worker may not use /tmp: write to tempfile.gettempdir() or $TMPDIR, a folder of its own"
    return None


def type_of(error: BaseException) -> str:
    """The name of the exception's class."""
    name = type.__dict__["__name__"].__get__(type(error))
    return printable(str.__getitem__(name, slice(_MAX_TYPE)))


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
    except BaseException:
        lines = [type_of(error) + "\n"]
    return printable("".join(lines)[-_MAX_TRACE:])


def report_of(error: BaseException, root: str, *, reason: str, hide: HidePaths) -> Dict[str, Any]:
    """The whole report, as an event has it."""
    fix = fix_for(error, root)
    return {
        "reason": reason,
        "type": type_of(error),
        "message": message_of(error, hide),
        "trace": trace_of(error, root),
        "path": place_of(error, root),
        "fix": None if fix is None else printable(fix),
    }


def _inside(file_name: str, root: str) -> bool:
    return os.path.realpath(file_name).startswith(root + os.sep)
