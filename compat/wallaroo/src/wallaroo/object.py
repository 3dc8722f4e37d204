"""The errors of the Wallaroo SDK."""

from typing import Any, Final, NoReturn, Protocol

from trivet.errors import (
    Conflict,
    DeadlineExceeded,
    Internal,
    Invalid,
    ModelFailed,
    ModelUploadError,
    NotFound,
    TooLarge,
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
    "InvalidNameError",
    "LimitError",
    "ModelConversionError",
    "ModelConversionTimeoutError",
    "ModelUploadError",
    "NotThereYetError",
    "ObjectNotFoundError",
    "RequiredAttributeMissing",
    "absent",
    "translated",
]


class NotThereYetError(Unsupported):
    """A feature of the Wallaroo SDK that Trivet does not support yet."""

    default_reason = "not_there_yet"

    def __init__(self, what: str, *, fix: str | None = None, **fields: Any) -> None:
        super().__init__(what, fix=fix or "docs/howto/notebooks.md lists what is supported", **fields)


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


class ModelConversionError(ModelUploadError):
    """The model could not be loaded. Here such a version has the status `error` instead, so that it is not raised."""


class ModelConversionTimeoutError(DeadlineExceeded):
    """The model is still loading after its limit."""


class InvalidNameError(Invalid):
    """The name cannot be one of a pipeline."""


class RequiredAttributeMissing(Internal):
    """An answer of the platform lacks a field. Trivet's are complete, so that it is not raised."""


class LimitError(TooLarge):
    """The file is larger than the platform takes."""


ObjectNotFoundError = EntityNotFoundError


USUAL: dict[type[TrivetError], type[TrivetError]] = {
    NotFound: EntityNotFoundError,
    TooLarge: LimitError,
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


ASSAYS: Final = "compare pipeline.logs() of two periods in pandas, or mark rows with pipeline.add_validations(...)"
TASKS: Final = "run the script itself, by cron or another scheduler: wallaroo.Client() works in any program"
CONNECTIONS: Final = "read the data in the notebook, with the client library of its source"
REGISTRIES: Final = "download the model's file from the registry, and give it to upload_model"
PUBLISHING: Final = "run `trivet up` on the other machine and deploy there, or serve one model with `trivet serve FILE`"
SHADOWS: Final = "deploy the challenger as a pipeline of its own, send both the same rows, and compare their logs"
SPLITS: Final = "deploy a pipeline for each model, and let the caller choose one of their URLs"
ONE_USER: Final = "a platform has one user: give the other person's client the platform's token, TRIVET_TOKEN"
REPLICAS: Final = "give a replica_count"
LANGUAGE_MODELS: Final = "put the language model into a package of Framework.CUSTOM, and call pipeline.infer"
"""What to use instead of what is absent."""


class Refusal(Protocol):
    """A function with any arguments that always raises."""

    def __call__(self, *args: Any, **fields: Any) -> NoReturn: ...


def absent(what: str, *, fix: str) -> Refusal:
    """A method of the Wallaroo SDK that is not supported yet: it raises, and says what to use instead."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise NotThereYetError(f"{what} not supported yet", fix=fix)

    refuse.__doc__ = f"{what} not supported yet: it raises."
    return refuse
