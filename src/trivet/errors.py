"""The error tree: what went wrong, why, and how to mend it.

TrivetError
├── Invalid            the caller's input (a row, a flag, a schema) is wrong
├── BadPackage         a model package is wrong; `path` names file and line where one is known
├── BadEnvironment     an environment cannot be resolved, built or found
├── NotFound           a thing was asked for that is not there
├── Conflict           two things that cannot both be
├── TooLarge           beyond a limit
├── Unsupported        a media type, dtype or feature that is not taken
├── NotAcceptable      an answer was asked for in a form that is not made
├── Overloaded         a bounded queue is full; try again later
├── Unavailable        nothing can answer at present (a worker died, or is starting)
├── DeadlineExceeded   it took longer than it may
├── ModelFailed        the model's own code raised, or answered something else than it declared
├── ModelUploadError   a model's file was refused
├── Unauthorized       the token is missing, or is not the right one
└── Internal           Trivet's own fault

An error knows its kind; only an edge (HTTP, gRPC, the command line) knows what a kind becomes there.
"""

from enum import StrEnum
from typing import ClassVar

__all__ = [
    "BadEnvironment",
    "BadPackage",
    "Conflict",
    "DeadlineExceeded",
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
]


class Kind(StrEnum):
    """What sort of error it is; each edge maps every kind to its own codes."""

    INVALID = "invalid"
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
    """An error that says what is wrong, why, and how to mend it.

    Args:
        what: what went wrong, one sentence without a full stop.
        why: the reason, where `what` does not carry it already.
        fix: what the reader can do about it.
        path: where in the input it is: `[3].tensor`, `custom_inference.py:12`.
        reason: a machine-readable slug, when it is finer than the class's own.
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
        return "\n".join(lines)


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
    """What was asked for is not there."""

    kind = Kind.NOT_FOUND
    default_reason = "not_found"


class Conflict(TrivetError):
    """Two things that cannot both be."""

    kind = Kind.CONFLICT
    default_reason = "conflict"


class TooLarge(TrivetError):
    """Beyond a limit."""

    kind = Kind.TOO_LARGE
    default_reason = "too_large"


class Unsupported(TrivetError):
    """A media type, encoding, dtype or feature that is not taken."""

    kind = Kind.UNSUPPORTED
    default_reason = "unsupported"


class NotAcceptable(TrivetError):
    """An answer was asked for in a form that is not made."""

    kind = Kind.NOT_ACCEPTABLE
    default_reason = "not_acceptable"


class Overloaded(TrivetError):
    """A bounded queue is full. `retry_after_s` is a hint for the caller."""

    kind = Kind.OVERLOADED
    default_reason = "overloaded"
    retry_after_s = 1


class Unavailable(TrivetError):
    """Nothing can answer at present."""

    kind = Kind.UNAVAILABLE
    default_reason = "unavailable"
    retry_after_s = 1


class DeadlineExceeded(TrivetError):
    """It took longer than it may."""

    kind = Kind.DEADLINE
    default_reason = "deadline_exceeded"


class ModelFailed(TrivetError):
    """The model's own code raised, or answered something else than it declared."""

    kind = Kind.MODEL
    default_reason = "model_error"


class ModelUploadError(TrivetError):
    """A model's file was refused."""

    kind = Kind.INVALID
    default_reason = "model_upload_failed"


class Unauthorized(TrivetError):
    """The token is missing, or is not the right one."""

    kind = Kind.INVALID
    default_reason = "unauthorized"


class Internal(TrivetError):
    """Trivet's own fault."""
