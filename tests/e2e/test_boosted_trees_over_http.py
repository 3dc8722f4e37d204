"""Models of XGBoost, LightGBM and CatBoost answer over HTTP as they do in a process of their own, without schemas where they say them."""

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

CASES = ("xgboost-classifier", "xgboost-booster-regression")
XGBOOST = ("xgboost==3.2.0", "scikit-learn", "pandas")
LIGHTGBM = ("lightgbm>=4", "scikit-learn", "pandas")
CATBOOST = ("catboost==1.2.10", "pandas")

# Writes models, and what each answers: [file, output schema or "", answers].
START = """
import json, pickle, sys
import numpy as np
import pandas as pd
from pathlib import Path

folder = Path(sys.argv[1])
rng = np.random.RandomState(0)
X = rng.rand(80, 3)
y = (X[:, 0] > X[:, 1]).astype(int)
three = rng.randint(0, 3, 80)
frame = pd.DataFrame(X, columns=["size", "age", "height"])
rows = X[:7]
said = []


def pickled(name, model):
    (folder / name).write_bytes(pickle.dumps(model))
    return name


def tell(file, answers, outputs=""):
    said.append([file, outputs, {name: np.asarray(each).tolist() for name, each in answers.items()}])


def classes(model, given=rows):
    return {"predictions": model.predict(given), "probabilities": model.predict_proba(given)}
"""

TRAIN_XGBOOST = f"""{START}
import xgboost as xgb

few = dict(n_estimators=5)
model = xgb.XGBClassifier(**few).fit(X, y)
tell(pickled("classifier.pkl", model), classes(model))
model.save_model(folder / "classifier.json")
tell("classifier.json", classes(model))
named = xgb.XGBClassifier(**few).fit(frame, three)
named.save_model(folder / "named.ubj")
tell("named.ubj", classes(named, frame[:7]))
regressor = xgb.XGBRegressor(**few).fit(X, X[:, 0])
tell(pickled("regressor.pkl", regressor), {{"output": regressor.predict(rows)}}, "output: float64")
tricky = xgb.XGBRegressor(objective="binary:logistic", **few).fit(X, y)
tell(pickled("tricky.pickle", tricky), {{"predictions": tricky.predict(rows)}})
two = xgb.XGBRegressor(**few).fit(X, X[:, :2])
tell(pickled("two.pkl", two), {{"predictions": two.predict(rows)}})
ranker = xgb.XGBRanker(**few).fit(X, y, group=[40, 40])
tell(pickled("ranker.pkl", ranker), {{"predictions": ranker.predict(rows)}})
forest = xgb.XGBRFClassifier(**few).fit(X, y)
tell(pickled("forest.pkl", forest), classes(forest))
forest = xgb.XGBRFRegressor(**few).fit(X, X[:, 0])
tell(pickled("forest-numbers.pkl", forest), {{"predictions": forest.predict(rows)}})
booster = xgb.train({{"objective": "binary:logistic"}}, xgb.DMatrix(X, y), 5)
booster.save_model(folder / "booster.ubj")
found = booster.predict(xgb.DMatrix(rows))
tell("booster.ubj", {{"predictions": found}}, "predictions: float32")
booster = xgb.train({{"objective": "multi:softmax", "num_class": 3}}, xgb.DMatrix(X, three), 5)
booster.save_model(folder / "softmax.bst")
margin = np.exp(booster.predict(xgb.DMatrix(rows), output_margin=True))
tell("softmax.bst", {{
    "predictions": booster.predict(xgb.DMatrix(rows)).astype(int), "probabilities": margin / margin.sum(axis=1)[:, None]
}})
print(json.dumps(said))
"""

TRAIN_LIGHTGBM = f"""{START}
import lightgbm as lgb

few = dict(n_estimators=5, verbose=-1)
model = lgb.LGBMClassifier(**few).fit(X, np.where(y, "yes", "no"))
tell(pickled("classifier.pkl", model), classes(model), "predictions: string; probabilities: float64[2]")
named = lgb.LGBMClassifier(**few).fit(frame, three)
named.booster_.save_model(folder / "named.txt")
tell("named.txt", classes(named, frame[:7]))
regressor = lgb.LGBMRegressor(**few).fit(X, X[:, 0])
tell(pickled("regressor.pickle", regressor), {{"predictions": regressor.predict(rows)}})
print(json.dumps(said))
"""

TRAIN_CATBOOST = f"""{START}
import catboost

few = dict(iterations=5, verbose=0, allow_writing_files=False)
model = catboost.CatBoostClassifier(**few).fit(X, np.where(y, "yes", "no"))
model.save_model(str(folder / "classifier.cbm"))
tell("classifier.cbm", classes(model), "predictions: string; probabilities: float64[2]")
regressor = catboost.CatBoostRegressor(loss_function="Poisson", **few).fit(X, X[:, 0])
regressor.save_model(str(folder / "poisson.cbm"))
tell("poisson.cbm", {{"y": regressor.predict(rows)}}, "y: float64")
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def store(shared_home: Path) -> EnvironmentStore:
    return EnvironmentStore(shared_home / "envs", environ=os.environ, cuda=False)


def built(store: EnvironmentStore, *requirements: str) -> Environment:
    """The environment of a model, built before a server waits for it."""
    return store.ensure(EnvironmentSpec(requirements=requirements))


def outputs(server: Any, records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    answer = server.post(json.dumps(records).encode())
    assert answer.status_code == 200, answer.text
    rows = [row["out"] for row in answer.json()]
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.conformance
@pytest.mark.parametrize("name", CASES)
def test_models_of_others_answer_what_is_known(
    name: str, conformance: Path, store: EnvironmentStore, long_shell
) -> None:
    cases = {case["id"]: case for case in json.loads((conformance / "cases.json").read_text())}
    assert {each for each, case in cases.items() if case["framework"] == "xgboost"} == set(CASES)
    case = cases[name]
    needs = ("scikit-learn<1.6",) if name == "xgboost-classifier" else ("joblib>=1.2",)
    built(store, "xgboost==1.7.4", *needs, "pandas")
    # The case declares three probabilities, and the model answers two: its own schema has two.
    with long_shell.serve(conformance / case["file"]) as server:
        found = outputs(server, case["input"]["records"])
    expected = {field.removeprefix("out."): values for field, values in case["expected"].items()}
    assert list(found) == list(expected)
    for field, values in expected.items():
        np.testing.assert_allclose(found[field], values, rtol=case["rtol"])


@pytest.mark.parametrize(
    ("script", "needs", "others"),
    [
        (TRAIN_XGBOOST, XGBOOST, [("xgboost==3.2.0", "pandas")]),
        (
            TRAIN_LIGHTGBM,
            LIGHTGBM,
            [("lightgbm>=4", "scikit-learn=={scikit-learn}", "pandas"), ("lightgbm>=4", "pandas")],
        ),
        (TRAIN_CATBOOST, CATBOOST, []),
    ],
    ids=["xgboost", "lightgbm", "catboost"],
)
def test_models_of_every_form_answer_as_in_their_own_process(
    tmp_path: Path,
    store: EnvironmentStore,
    long_shell,
    script: str,
    needs: tuple[str, ...],
    others: list[tuple[str, ...]],
) -> None:
    author = built(store, *needs)
    pins = dict(line.split("==", 1) for line in author.lock.splitlines() if "==" in line)
    release = pins.get("scikit-learn", "").split()[0] if "scikit-learn" in pins else ""
    for each in others:
        built(store, *(need.replace("{scikit-learn}", release) for need in each))
    done = subprocess.run(
        [str(author.python), "-I", "-W", "ignore", "-c", script, str(tmp_path)],
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = np.random.RandomState(0).rand(80, 3)[:7].tolist()
    for file, answered, answers in json.loads(done.stdout):
        words = ["--output-schema", answered] if answered else []
        if file.endswith(".cbm"):
            words += ["--input-schema", "inputs: float64[3]"]
        with long_shell.serve(tmp_path / file, *words) as server:
            found = outputs(server, [{"inputs": row} for row in rows])
        assert found.keys() == answers.keys(), file
        for field, values in answers.items():
            if isinstance(values[0], str):
                assert found[field] == values, file
            else:
                np.testing.assert_allclose(found[field], values, rtol=1e-6, err_msg=f"{file}: {field}")


def test_a_schema_that_does_not_fit_is_an_error_with_one_that_fits(
    conformance: Path, store: EnvironmentStore, shell
) -> None:
    built(store, "xgboost==1.7.4", "scikit-learn<1.6", "pandas")
    words = ("--input-schema", "inputs: float64[3]", "--output-schema", "predictions: int32")
    ended = shell.run("check", conformance / "xgboost" / "classifier_iris.pkl", *words)
    assert ended.code != 0
    text = "XGBClassifier takes 4 features, and column 'inputs' has 3 values. A schema that fits: 'inputs: float64[4]'"
    assert text in ended.stderr


def test_check_prints_what_the_file_says_and_the_safer_form(conformance: Path, store: EnvironmentStore, shell) -> None:
    built(store, "xgboost==1.7.4", "scikit-learn<1.6", "pandas")
    ended = shell.run("check", conformance / "xgboost" / "classifier_iris.pkl")
    assert ended.code == 0, ended.stderr
    said = ended.stdout + ended.stderr
    for text in (
        "ok   package: xgboost model 'classifier-iris', 1 file",
        "ok   file: written by XGBoost 1.7.4, a classifier of 4 features, objective binary:logistic",
        "ok   takes: inputs: float64[4]",
        "ok   answers: predictions: int64; probabilities: float32[2]",
        "ok   loaded: isolated runtime",
        "a .ubj file is safer than classifier_iris.pkl",
    ):
        assert text in said
