"""Errors of an `Inference` that is used wrongly."""

__all__ = ["InferenceDataValidationError", "MacError", "ModelNotAssignedError", "ModelTypeError"]


class MacError(Exception):
    """Any error of this package."""


class InferenceDataValidationError(MacError, ValueError):
    """The input data does not fit the model. Models may raise it too; the client then gets the message."""


class ModelNotAssignedError(MacError):
    """A class asked for its model before one was assigned."""

    def __init__(self, message: str = "The model is not assigned to the Inference object.") -> None:
        super().__init__(message)


class ModelTypeError(MacError, TypeError):
    """The assigned model has none of the expected types."""
