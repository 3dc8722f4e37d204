"""Keras's models answer over HTTP as Keras does in a process of its own."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.envs import EnvironmentStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# Writes a model of two inputs and two outputs, and a sequence, and what each answers: flags, rows, answers.
AUTHOR = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np

folder = sys.argv[1]
keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
a, b = keras.Input((4,), name="a"), keras.Input((2, 2), name="b")
both = keras.layers.Concatenate()([a, keras.layers.Flatten()(b)])
dense = keras.layers.Dense(2, activation="tanh", name="q")(both)
model = keras.Model({"b": b, "a": a}, {"q": dense, "p": keras.layers.Dense(1, name="p")(dense)})
model.save(folder + "/two.keras")
x = {"a": rng.random((5, 4), dtype=np.float32), "b": rng.random((5, 2, 2), dtype=np.float32)}
said = {"two.keras": [
    ["--input-schema", "b: float32[4]; a: float64[4]", "--output-schema", "p: float32; q: float64[2]"],
    [{"a": one, "b": [each for line in other for each in line]} for one, other in zip(x["a"].tolist(), x["b"].tolist())],
    {name: value.tolist() for name, value in model.predict(x, verbose=0).items()},
]}
said["two.keras"][2]["p"] = [value for value, in said["two.keras"][2]["p"]]

row = keras.Sequential([keras.Input((10,)), keras.layers.Dense(32, activation="relu")])
row.save(folder + "/row.h5")
x = rng.random((7, 10), dtype=np.float32)
said["row.h5"] = [
    ["--input-schema", "input: float64[10]", "--output-schema", "output: float64[32]"],
    [{"input": each} for each in x.tolist()],
    {"output": row.predict(x, verbose=0).tolist()},
]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def environment(shared_home: Path) -> Environment:
    """The environment of models that this release wrote, built before a server waits for it."""
    store = EnvironmentStore(shared_home / "envs", environ=os.environ)
    return store.ensure(EnvironmentSpec(requirements=("tensorflow-cpu==2.21.0", "keras==3.15.1")))


@pytest.fixture(scope="module")
def models(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("models")
    words = [str(environment.python), "-I", "-W", "ignore", "-c", AUTHOR, str(folder)]
    done = subprocess.run(words, capture_output=True, check=False, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["two.keras", "row.h5"])
def test_a_model_answers_as_in_its_own_process(name: str, models: tuple[Path, dict[str, Any]], long_shell) -> None:
    folder, said = models
    flags, rows, expected = said[name]
    with long_shell.serve(folder / name, *flags) as server:
        answer = server.post(json.dumps(rows).encode())
    assert answer.status_code == 200, answer.text
    found = [row["out"] for row in answer.json()]
    assert found[0].keys() == expected.keys()
    for field, values in expected.items():
        np.testing.assert_allclose([row[field] for row in found], values, rtol=1e-5, atol=1e-6)
