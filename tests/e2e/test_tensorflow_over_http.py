"""TensorFlow's models answer over HTTP as TensorFlow does in a process of its own."""

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

# Writes a model with texts, whole numbers and fixed rows, and a model of Keras, and what each answers: rows and answers.
AUTHOR = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, shutil
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
keras.utils.set_random_seed(0)
module = tf.Module()
module.weights = tf.Variable(tf.random.uniform([3, 2], seed=1))
mixed = tf.function(
    lambda x, word, count: {
        "total": x @ module.weights, "text": tf.strings.upper(word, encoding="utf-8"), "next": count[:, 0] + 1,
    }
).get_concrete_function(
    x=tf.TensorSpec([4, 3], tf.float32),
    word=tf.TensorSpec([4, 1], tf.string),
    count=tf.TensorSpec([4, 1], tf.int32),
)
tf.saved_model.save(module, folder + "/mixed", signatures={"serving_default": mixed})
x = np.arange(18, dtype=np.float32).reshape(6, 3)
rows = [{"x": row.tolist(), "word": word, "count": index} for index, (row, word) in enumerate(zip(x, "aéßzñ東"))]
said = {"mixed": [rows, {
    "total": (x @ module.weights.numpy()).tolist(), "text": [word.upper() for word in "aéßzñ東"],
    "next": list(range(1, 7)),
}]}

model = keras.Sequential([keras.Input((10,), name="inputs"), keras.layers.Dense(32, activation="tanh")])
model.export(folder + "/keras/inner", verbose=False)
shutil.make_archive(folder + "/keras", "zip", folder + "/keras")
x = np.random.default_rng(0).random((7, 10), dtype=np.float32)
said["keras.zip"] = [[{"inputs": row} for row in x.tolist()], {"output_0": model.predict(x, verbose=0).tolist()}]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def environment(shared_home: Path) -> Environment:
    """The environment of models that this release wrote, built before a server waits for it."""
    store = EnvironmentStore(shared_home / "envs", environ=os.environ)
    return store.ensure(EnvironmentSpec(requirements=("tensorflow-cpu==2.21.0",)))


@pytest.fixture(scope="module")
def models(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("models")
    words = [str(environment.python), "-I", "-W", "ignore", "-c", AUTHOR, str(folder)]
    done = subprocess.run(words, capture_output=True, check=False, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["mixed", "keras.zip"])
def test_a_saved_model_answers_as_in_its_own_process(
    name: str, models: tuple[Path, dict[str, Any]], long_shell
) -> None:
    folder, said = models
    rows, expected = said[name]
    with long_shell.serve(folder / name) as server:
        answer = server.post(json.dumps(rows).encode())
    assert answer.status_code == 200, answer.text
    found = [row["out"] for row in answer.json()]
    assert found[0].keys() == expected.keys()
    for field, values in expected.items():
        given = [row[field] for row in found]
        if field == "text":
            assert given == [[value] for value in values]
        else:
            np.testing.assert_allclose(given, values, rtol=1e-5)
