"""The errors that notebooks catch."""

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
    """The Wallaroo SDK has it; Trivet does not, so far."""

    default_reason = "not_there_yet"

    def __init__(self, what: str, *, fix: str | None = None, **said: Any) -> None:
        super().__init__(what, fix=fix or "see what is there in trivet-compat-wallaroo's README", **said)


class EntityNotFoundError(NotFound):
    """There is no workspace, model, pipeline or version of that name."""


class CommunicationError(Unavailable):
    """The platform cannot be reached, or cannot answer at the moment."""


class DeploymentError(Conflict):
    """What was to be deployed cannot run."""


class InferenceError(Invalid):
    """The rows were refused, or the model failed on them."""


class InferenceTimeoutError(DeadlineExceeded):
    """The answer took longer than it may."""


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
    """The error that a notebook expects in an error's place: the same one where it has no special name."""
    kind = kinds.get(type(error))
    if kind is None:
        return error
    return kind(error.what, why=error.why, fix=error.fix, path=error.path, reason=error.reason)


class Refusal(Protocol):
    """Something that can be called in every way, and always raises."""

    def __call__(self, *args: Any, **said: Any) -> NoReturn: ...


def absent(what: str, *, fix: str | None = None) -> Refusal:
    """A method that the Wallaroo SDK has and this does not: it says so when it is called."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise NotThereYetError(f"{what} not there yet", fix=fix)

    refuse.__doc__ = f"{what} not there yet: it raises."
    return refuse
