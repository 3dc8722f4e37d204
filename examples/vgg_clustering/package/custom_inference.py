"""Group images: a convolutional network turns each into a short vector, KMeans says which group the vector is in."""

import pathlib
import pickle
from typing import Any, Set

import tensorflow as tf
from sklearn.cluster import KMeans

from mac.config.inference import CustomInferenceConfig
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder
from mac.types import InferenceData


class ImageGroups(Inference):
    """The clustering is `model`; the network in front of it is an attribute of its own."""

    def __init__(self, feature_extractor: tf.keras.Model):
        self.feature_extractor = feature_extractor
        super().__init__()

    @property
    def expected_model_types(self) -> Set[Any]:
        return {KMeans}

    @Inference.model.setter  # type: ignore
    def model(self, model) -> None:
        self._raise_error_if_model_is_wrong_type(model)
        self._model = model

    def _predict(self, input_data: InferenceData) -> InferenceData:
        """`images` int64[rows, 32, 32, 3] -> `predictions`, the number of the group."""
        vectors = self.feature_extractor(input_data["images"]).numpy()
        return {"predictions": self.model.predict(vectors)}


class ImageGroupsBuilder(InferenceBuilder):
    """Loads both files from the package's folder."""

    @property
    def inference(self) -> ImageGroups:
        return ImageGroups

    def create(self, config: CustomInferenceConfig) -> ImageGroups:
        inference = self.inference(tf.keras.models.load_model(config.model_path / "feature_extractor.h5"))
        inference.model = self._load(config.model_path / "kmeans.pkl")
        return inference

    def _load(self, path: pathlib.Path) -> KMeans:
        with path.open("rb") as file:
            return pickle.load(file)
