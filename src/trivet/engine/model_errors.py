"""Errors that a worker sends in an answer's metadata, as errors of the platform."""

import msgspec

from trivet.errors import Invalid, ModelFailed, TrivetError, Unsupported

__all__ = ["ModelError", "error_of"]


class ModelError(msgspec.Struct):
    """What the worker sends."""

    reason: str
    message: str
    type: str = ""
    path: str | None = None


def error_of(error: ModelError) -> TrivetError:
    """The error that the caller gets."""
    if error.reason == "model_output_mismatch":
        return ModelFailed(
            "the model answered something else than it declares",
            why=error.message,
            fix="fix the model's code, or its output schema",
            path=error.path,
            reason=error.reason,
        )
    if error.reason == "rows_only":
        return Unsupported(
            "this model does not answer raw requests",
            why=error.message,
            fix="send rows to the pipeline's address, as JSON or Arrow",
            reason="rows_only",
        )
    what = f"{error.type}: {error.message}" if error.type else error.message
    if error.reason == "invalid_input":
        return Invalid(what, path=error.path, reason="refused_by_model")
    return ModelFailed(what, path=error.path, reason=error.reason)
