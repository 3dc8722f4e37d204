"""The files of a new package, as `trivet init` writes them. `Template` puts in what a `$name` stands for."""

__all__ = ["STARTERS"]

_SETTINGS = """\
# What `trivet check`, `serve` and `upload` need to know about the package. Flags take precedence.
name: $name
framework: $kind
input_schema:          # a row of a request; `trivet schema rows.csv --yaml` prints it for your data
$fields
output_schema:         # a row of an answer
  score: float64
example:               # tried before the model is ready
  - $row
tests:                 # sent by `trivet check`
  - name: a known answer
    rows: [$row]
    expect: [{score: $score}]
"""

_REQUIREMENTS = """\
# What the model imports, with the versions that it was made with. `mac`, numpy and pyarrow are always there.
pandas
"""

_INFERENCE = '''\
"""How Trivet loads and calls the model of model.py. It need not change."""

from typing import Any, Set

import model
import pandas as pd
from mac.config.inference import CustomInferenceConfig
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder
from mac.types import InferenceData


class ModelInference(Inference):
    @property
    def expected_model_types(self) -> Set[Any]:
        return {object}

    def _predict(self, input_data: InferenceData) -> InferenceData:
        # One array for each column of the input schema; a cell of a list column is an array.
        rows = pd.DataFrame({name: list(column) for name, column in input_data.items()})
        return model.predict(self.model, rows)


class ModelInferenceBuilder(InferenceBuilder):
    @property
    def inference(self) -> ModelInference:
        return ModelInference()

    def create(self, config: CustomInferenceConfig) -> ModelInference:
        inference = self.inference
        inference.model = model.load(config.model_path)
        return inference
'''

_MODEL = '''\
"""The model: replace these two functions by your own."""

import json

import numpy as np


def load(folder):
    """The model, from the package's files; for a scikit-learn one: `joblib.load(folder / "model.joblib")`."""
    return json.loads((folder / "weights.json").read_text())


def predict(model, rows):
    """The columns of the output schema, for a DataFrame with those of the input schema."""
    score = np.zeros(len(rows))
    for name, weight in model.items():
        score = score + weight * rows[name]
    return {"score": score}
'''

_STEP = '''\
"""One function: it takes a DataFrame with the columns of the input schema, and returns the columns of the output schema."""

import numpy as np
import pandas as pd

WEIGHTS = $weights


def process_data(rows: pd.DataFrame) -> pd.DataFrame:
    score = np.zeros(len(rows))
    for name, weight in WEIGHTS.items():
        score = score + weight * rows[name]
    return pd.DataFrame({"score": score})
'''

STARTERS: dict[str, dict[str, str]] = {
    "custom": {
        "trivet.yaml": _SETTINGS,
        "requirements.txt": _REQUIREMENTS,
        "custom_inference.py": _INFERENCE,
        "model.py": _MODEL,
        "weights.json": "$weights\n",
    },
    "python": {"trivet.yaml": _SETTINGS, "requirements.txt": _REQUIREMENTS, "step.py": _STEP},
}
"""Files by kind of package; each passes `trivet check`."""
