"""The errors of the Wallaroo SDK."""

from typing import Any, NoReturn, Protocol

from trivet.errors import (
    Conflict,
    DeadlineExceeded,
    Internal,
    Invalid,
    ModelFailed,
    ModelUploadError,
    NotFound,
    TrivetError,
    Unavailable,
    Unsupported,
)

__all__ = [
    "CommunicationError",
    "DeploymentError",
    "EntityNotFoundError",
    "InferenceError",
    "InferenceTimeoutError",
    "ModelUploadError",
    "NotThereYetError",
    "absent",
    "translated",
]


class NotThereYetError(Unsupported):
    """A feature of the Wallaroo SDK that Trivet does not support yet."""

    default_reason = "not_there_yet"

    def __init__(self, what: str, *, fix: str | None = None, **fields: Any) -> None:
        super().__init__(what, fix=fix or "trivet-compat-wallaroo's README lists what is supported", **fields)


class EntityNotFoundError(NotFound):
    """The workspace, model, pipeline or version does not exist."""


class CommunicationError(Unavailable):
    """The platform cannot be reached, or cannot answer now."""


class DeploymentError(Conflict):
    """The pipeline cannot run."""


class InferenceError(Invalid):
    """The rows were refused, or the model failed on them."""


class InferenceTimeoutError(DeadlineExceeded):
    """The answer took longer than its limit."""


USUAL: dict[type[TrivetError], type[TrivetError]] = {
    NotFound: EntityNotFoundError,
    Unavailable: CommunicationError,
    Unsupported: NotThereYetError,
}
DEPLOYING: dict[type[TrivetError], type[TrivetError]] = {**USUAL, Conflict: DeploymentError}
INFERRING: dict[type[TrivetError], type[TrivetError]] = {
    **USUAL,
    DeadlineExceeded: InferenceTimeoutError,
    Invalid: InferenceError,
    Internal: InferenceError,
    ModelFailed: InferenceError,
    Unsupported: InferenceError,
}


def translated(error: TrivetError, kinds: dict[type[TrivetError], type[TrivetError]] = USUAL) -> TrivetError:
    """The reference's error for an error of Trivet; the same error if there is none."""
    kind = kinds.get(type(error))
    if kind is None:
        return error
    return kind(error.what, why=error.why, fix=error.fix, path=error.path, reason=error.reason)


class Refusal(Protocol):
    """A function with any arguments that always raises."""

    def __call__(self, *args: Any, **fields: Any) -> NoReturn: ...


def absent(what: str, *, fix: str | None = None) -> Refusal:
    """A method of the Wallaroo SDK that is not supported yet: it raises."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise NotThereYetError(f"{what} not supported yet", fix=fix)

    refuse.__doc__ = f"{what} not supported yet: it raises."
    return refuse
