"""The error tree: what went wrong, why, and how to fix it.

TrivetError
├── Invalid            the caller's input (a row, a flag, a schema) is wrong
├── BadPackage         a model package is wrong; `path` names file and line where one is known
├── BadEnvironment     an environment cannot be resolved, built or found
├── NotFound           the requested thing does not exist
├── Conflict           two things exclude each other
├── TooLarge           beyond a limit
├── Unsupported        a media type, dtype or feature that is not supported
├── NotAcceptable      the requested format of the answer is not supported
├── Overloaded         a bounded queue is full; try again later
├── Unavailable        nothing can answer now (a worker died, or is starting)
├── DeadlineExceeded   it took longer than its limit
├── ModelFailed        the model's own code raised, or its answer differs from what it declares
├── ModelUploadError   a model's file was refused
├── Unauthorized       the token is missing or wrong
├── Forbidden          the caller may not do this
└── Internal           Trivet's own fault

An error knows its kind; only an edge (HTTP, gRPC, the command line) knows what a kind becomes there.
"""

import re
import sys
from enum import StrEnum
from types import TracebackType
from typing import ClassVar, Final

__all__ = [
    "UNSAFE_CHARACTERS",
    "BadEnvironment",
    "BadPackage",
    "Conflict",
    "DeadlineExceeded",
    "Forbidden",
    "Internal",
    "Invalid",
    "Kind",
    "ModelFailed",
    "ModelUploadError",
    "NotAcceptable",
    "NotFound",
    "Overloaded",
    "TooLarge",
    "TrivetError",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
    "visible",
]

UNSAFE_CHARACTERS: Final = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
"""A pattern of the characters that control a terminal, change the order of the letters around them, cannot be encoded, or hide."""
_UNSAFE = re.compile(UNSAFE_CHARACTERS)


def visible(text: str) -> str:
    """The text with unsafe characters as escapes; lines and tabs stay. For what models and callers wrote, where people read it."""
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class Kind(StrEnum):
    """The kind of an error; each edge maps every kind to its own codes."""

    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    NOT_ACCEPTABLE = "not_acceptable"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    DEADLINE = "deadline"
    MODEL = "model"
    INTERNAL = "internal"


class TrivetError(Exception):
    """An error that says what is wrong, why, and how to fix it.

    Args:
        what: what went wrong, one sentence without a full stop.
        why: the reason, if `what` does not say it already.
        fix: what the reader can do about it.
        path: where in the input it is: `[3].tensor`, `custom_inference.py:12`.
        reason: a machine-readable slug, when it is finer than the class's own.

    Attributes:
        trace: the traceback of model code, for the model's owner. No edge shows it to a client.
    """

    kind: ClassVar[Kind] = Kind.INTERNAL
    default_reason: ClassVar[str] = "internal"

    def __init__(
        self,
        what: str,
        *,
        why: str | None = None,
        fix: str | None = None,
        path: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.path = path
        self.reason = reason or self.default_reason
        self.trace = ""

    @property
    def message(self) -> str:
        """What and why in one text."""
        return f"{self.what}: {self.why}" if self.why else self.what

    def __str__(self) -> str:
        lines = [self.message]
        if self.path:
            lines.append(f"  at  {self.path}")
        if self.fix:
            lines.append(f"  fix {self.fix}")
        return visible("\n".join(lines))

    def _render_traceback_(self) -> list[str]:
        """The traceback that IPython shows: without the last frames if they ask to be hidden, which IPython itself does not do."""
        shell = sys.modules["IPython"].get_ipython()
        trace, frames = self.__traceback__, []
        while trace is not None:
            frames.append(trace)
            trace = trace.tb_next
        while len(frames) > 1 and frames[-1].tb_frame.f_locals.get("__tracebackhide__"):
            frames.pop()
        shown = None
        for frame in reversed(frames):
            shown = TracebackType(shown, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
        lines: list[str] = shell.InteractiveTB.structured_traceback(type(self), self, shown)
        return lines


class Invalid(TrivetError):
    """The caller's input is wrong."""

    kind = Kind.INVALID
    default_reason = "invalid_input"


class BadPackage(TrivetError):
    """A model package is wrong."""

    kind = Kind.INVALID
    default_reason = "bad_package"


class BadEnvironment(TrivetError):
    """An environment cannot be resolved, built or found."""

    kind = Kind.INVALID
    default_reason = "bad_environment"


class NotFound(TrivetError):
    """The requested thing does not exist."""

    kind = Kind.NOT_FOUND
    default_reason = "not_found"


class Conflict(TrivetError):
    """Two things exclude each other."""

    kind = Kind.CONFLICT
    default_reason = "conflict"


class TooLarge(TrivetError):
    """Beyond a limit."""

    kind = Kind.TOO_LARGE
    default_reason = "too_large"


class Unsupported(TrivetError):
    """A media type, encoding, dtype or feature that is not supported."""

    kind = Kind.UNSUPPORTED
    default_reason = "unsupported"


class NotAcceptable(TrivetError):
    """The requested format of the answer is not supported."""

    kind = Kind.NOT_ACCEPTABLE
    default_reason = "not_acceptable"


class Overloaded(TrivetError):
    """A bounded queue is full. `retry_after_s` is a hint for the caller."""

    kind = Kind.OVERLOADED
    default_reason = "overloaded"
    retry_after_s = 1


class Unavailable(TrivetError):
    """Nothing can answer now."""

    kind = Kind.UNAVAILABLE
    default_reason = "unavailable"
    retry_after_s = 1


class DeadlineExceeded(TrivetError):
    """It took longer than its limit."""

    kind = Kind.DEADLINE
    default_reason = "deadline_exceeded"


class ModelFailed(TrivetError):
    """The model's own code raised, or its answer differs from what it declares."""

    kind = Kind.MODEL
    default_reason = "model_error"


class ModelUploadError(TrivetError):
    """A model's file was refused."""

    kind = Kind.INVALID
    default_reason = "model_upload_failed"


class Unauthorized(TrivetError):
    """The token is missing or wrong."""

    kind = Kind.UNAUTHORIZED
    default_reason = "unauthorized"


class Forbidden(TrivetError):
    """The caller may not do this."""

    kind = Kind.FORBIDDEN
    default_reason = "forbidden"


class Internal(TrivetError):
    """Trivet's own fault."""
