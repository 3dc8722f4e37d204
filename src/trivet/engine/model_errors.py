"""Errors that a worker sends in an answer's metadata, as errors of the platform."""

import msgspec

from trivet.errors import Invalid, ModelFailed, TrivetError, Unsupported

__all__ = ["ModelError", "error_of"]

# The worker keeps to less, but the model can write to its socket as well.
MOST_TEXT = 8_000
MOST_TYPE = 200
MOST_PATH = 1_000
MOST_TRACE = 4_000


class ModelError(msgspec.Struct):
    """What the worker sends."""

    reason: str
    message: str
    type: str = ""
    path: str | None = None
    trace: str = ""


def error_of(error: ModelError) -> TrivetError:
    """The error that the caller gets: the exception's type and message. Its traceback is for the model's owner only."""
    made = _made(error)
    made.trace = error.trace[-MOST_TRACE:]
    return made


def _made(error: ModelError) -> TrivetError:
    message, kind = error.message[:MOST_TEXT], error.type[:MOST_TYPE]
    path = None if error.path is None else error.path[:MOST_PATH]
    if error.reason == "model_output_mismatch":
        return ModelFailed(
            "the model answered something else than it declares",
            why=message,
            fix="fix the model's code, or its output schema",
            path=path,
            reason=error.reason,
        )
    if error.reason == "rows_only":
        return Unsupported(
            "this model does not answer raw requests",
            why=message,
            fix="send rows to the pipeline's address, as JSON or Arrow",
            reason="rows_only",
        )
    what = f"{kind}: {message}" if kind else message
    if error.reason == "invalid_input":
        return Invalid(what, path=path, reason="refused_by_model")
    return ModelFailed(what, path=path, reason=error.reason)
