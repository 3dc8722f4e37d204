"""`InferenceBuilder`: builds a ready `Inference` from a package's files."""

from abc import ABC, abstractmethod
from typing import Any

from mac.config.inference import CustomInferenceConfig
from mac.inference import Inference

__all__ = ["InferenceBuilder"]


class InferenceBuilder(ABC):
    """Builds an `Inference`: makes the object, loads the model, assigns it."""

    @property
    @abstractmethod
    def inference(self) -> Any:
        """The `Inference` subclass, or an instance of it."""

    @abstractmethod
    def create(self, config: CustomInferenceConfig) -> Inference:
        """An `Inference` with its model assigned.

        Args:
            config: `config.model_path` is the folder with the package's files.
        """
