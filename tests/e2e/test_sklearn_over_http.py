"""scikit-learn's models answer over HTTP as scikit-learn does in a process of its own."""

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

CASES = ("sklearn-kmeans", "sklearn-linear-regression")
RELEASE = "1.9.1"

# Writes models, and what each answers: [file, input schema, output schema, rows, answers].
AUTHOR = """
import json, sys, joblib, numpy as np, pandas as pd, skops.io
from pathlib import Path
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

folder = Path(sys.argv[1])
rng = np.random.RandomState(0)
X = rng.rand(80, 3)
y = np.where(X[:, 0] > X[:, 1], "no", "yes")
frame = pd.DataFrame({"size": X[:, 0], "city": np.where(X[:, 1] > 0.5, "Bern", "Köln"), "age": np.arange(80)})
texts = ["good day", "bad day", "good night", "bad night"] * 20
said = []


def tell(file, inputs, outputs, records, model, rows):
    answers = {"predictions": model.predict(rows).tolist()}
    if "probabilities" in outputs:
        answers["probabilities"] = model.predict_proba(rows).tolist()
    if "y" in outputs:
        answers = {"y": answers["predictions"]}
    said.append([file, inputs, outputs, records, answers])


forest = RandomForestClassifier(5, random_state=0).fit(X, y)
joblib.dump(forest, folder / "forest.joblib", compress=("lz4", 3))
lists = [{"inputs": row} for row in X[:7].tolist()]
tell("forest.joblib", "inputs: float64[3]", "predictions: string; probabilities: float64[2]", lists, forest, X[:7])

boosted = HistGradientBoostingRegressor(max_iter=5).fit(X, X[:, 0])
skops.io.dump(boosted, folder / "boosted.skops")
tell("boosted.skops", "a: float64; b: float64; c: float64", "y: float64",
     [dict(zip("abc", row)) for row in X[:7].tolist()], boosted, X[:7])

named = make_pipeline(
    ColumnTransformer([("one", OneHotEncoder(), ["city"]), ("two", StandardScaler(), ["size", "age"])]),
    LogisticRegression(),
).fit(frame, frame["age"] % 2)
joblib.dump(named, folder / "named.pkl")
tell("named.pkl", "age: int64; city: string; size: float64", "predictions: int64; probabilities: float64[2]",
     json.loads(frame[:7].to_json(orient="records")), named, frame[:7])

worded = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [text[0] == "g" for text in texts])
joblib.dump(worded, folder / "worded.joblib")
tell("worded.joblib", "text: string", "predictions: bool", [{"text": text} for text in texts[:3]], worded, texts[:3])
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def store(shared_home: Path) -> EnvironmentStore:
    return EnvironmentStore(shared_home / "envs", environ=os.environ)


def built(store: EnvironmentStore, release: str, *more: str) -> Environment:
    """The environment of a model, built before a server waits for it."""
    return store.ensure(EnvironmentSpec(requirements=(f"scikit-learn=={release}", *more, "pandas")))


def outputs(server: Any, records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    answer = server.post(json.dumps(records).encode())
    assert answer.status_code == 200, answer.text
    rows = [row["out"] for row in answer.json()]
    return {name: [row[name] for row in rows] for name in rows[0]}


def served(shell: Any, file: Path, inputs: str, outputs: str) -> Any:
    return shell.serve(file, "--input-schema", inputs, "--output-schema", outputs)


@pytest.mark.conformance
@pytest.mark.parametrize("name", CASES)
def test_models_of_others_answer_what_is_known(
    name: str, conformance: Path, store: EnvironmentStore, long_shell
) -> None:
    cases = {case["id"]: case for case in json.loads((conformance / "cases.json").read_text())}
    assert {each for each, case in cases.items() if case["framework"] == "sklearn"} == set(CASES)
    case = cases[name]
    built(store, "1.1.3", "joblib>=1.2")
    schemas = [json.dumps(case[f"{side}_schema"]) for side in ("input", "output")]
    schemas = [text.strip("{}").replace('"', "").replace(",", ";") for text in schemas]
    with served(long_shell, conformance / case["file"], *schemas) as server:
        found = outputs(server, case["input"]["records"])
    expected = {field.removeprefix("out."): values for field, values in case["expected"].items()}
    assert list(found) == list(expected)
    for field, values in expected.items():
        np.testing.assert_allclose(found[field], values, rtol=case["rtol"])


def test_models_of_every_form_answer_as_in_their_own_process(
    tmp_path: Path, store: EnvironmentStore, long_shell
) -> None:
    author = built(store, RELEASE, "joblib>=1.2", "lz4", "skops")
    for needs in (("joblib>=1.2",), ("joblib>=1.2", "lz4"), ("skops",)):
        built(store, RELEASE, *needs)
    done = subprocess.run(
        [str(author.python), "-I", "-W", "ignore", "-c", AUTHOR, str(tmp_path)],
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for file, given, answered, records, answers in json.loads(done.stdout):
        with served(long_shell, tmp_path / file, given, answered) as server:
            found = outputs(server, records)
        assert found.keys() == answers.keys()
        for field, values in answers.items():
            if isinstance(values[0], str):
                assert found[field] == values
            else:
                np.testing.assert_allclose(found[field], values, rtol=1e-12)


def test_a_schema_that_does_not_fit_is_an_error_with_one_that_fits(
    conformance: Path, store: EnvironmentStore, shell
) -> None:
    built(store, "1.1.3", "joblib>=1.2")
    words = ("--input-schema", "inputs: float64[3]", "--output-schema", "predictions: int32")
    ended = shell.run("check", conformance / "sklearn" / "kmeans.pkl", *words)
    assert ended.code != 0
    text = "KMeans takes 4 features, and column 'inputs' has 3 values. A schema that fits: 'inputs: float64[4]'"
    assert text in ended.stderr
