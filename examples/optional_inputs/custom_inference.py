"""A custom model two of whose three inputs may be left out: it adds two lists, number by number, and scales the sum."""

from typing import Any, List, Optional, Set

import numpy as np

from mac.config.inference import CustomInferenceConfig
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder
from mac.types import InferenceData


class Combiner:
    """Stands in for a trained model."""

    def combine(self, first: np.ndarray, second: List[Any], factor: Optional[int]) -> np.ndarray:
        """`(first + second) * factor`, where an empty second list counts as zeros and no factor as one."""
        given = [number for number in second if number is not None]
        total = first + np.asarray(given, dtype=np.float32) if given else first
        return total if factor is None else total * np.float32(factor)


class OptionalInputs(Inference):
    """Calls the combiner row by row, because the lists of two rows may differ in length."""

    @property
    def expected_model_types(self) -> Set[Any]:
        return {Combiner}

    def _predict(self, input_data: InferenceData) -> InferenceData:
        rows = zip(input_data["input_1"], input_data["input_2"], input_data["multiply_factor"])
        combined = [self.model.combine(first, second, factor) for first, second, factor in rows]
        output = np.empty(len(combined), dtype=object)
        output[:] = combined
        return {"output": output}


class OptionalInputsBuilder(InferenceBuilder):
    """Loads nothing from `config.model_path`."""

    @property
    def inference(self) -> OptionalInputs:
        return OptionalInputs()

    def create(self, config: CustomInferenceConfig) -> OptionalInputs:
        inference = self.inference
        inference.model = Combiner()
        return inference
