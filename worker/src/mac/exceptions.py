"""What an `Inference` raises when it is used wrongly."""

__all__ = ["InferenceDataValidationError", "MacError", "ModelNotAssignedError", "ModelTypeError"]


class MacError(Exception):
    """Any error of this package."""


class InferenceDataValidationError(MacError, ValueError):
    """The input data is not what the model takes. Models raise it themselves as well, and the caller is told."""


class ModelNotAssignedError(MacError):
    """A prediction was asked for before a model was assigned."""

    def __init__(self, message: str = "The model is not assigned to the Inference object.") -> None:
        super().__init__(message)


class ModelTypeError(MacError, TypeError):
    """The assigned model is of none of the expected types."""
