"""Models of scikit-learn as trials prove them: those that run natively, and those whose conversion is wrong, in workers."""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.domain.frameworks import Runtime
from trivet.domain.package import ModelSettings
from trivet.domain.schema import parse_schema
from trivet.domain.version import Acceleration, Architecture, LoadedModel
from trivet.envs import EnvironmentStore
from trivet.errors import Invalid
from trivet.loading.trials import TrialJob
from trivet.settings import Settings, settings_to_json
from trivet.wiring.trial_process import try_out

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

AUTHOR = """
import sys, joblib, numpy as np, pandas as pd
from pathlib import Path
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

folder = Path(sys.argv[1])
rng = np.random.RandomState(0)
X = rng.rand(300, 4) * 3
y = X @ [1.0, 2.0, 3.0, 4.0]
word = np.where(X[:, 0] > X[:, 1], "no", "yes")
gaps = np.where(rng.rand(300, 4) < 0.1, np.nan, X)
frame = pd.DataFrame({"size": X[:, 0], "city": np.where(X[:, 1] > 1, "Bern", "Köln"), "age": np.arange(300)})
texts = ["good day", "bad day", "good night", "bad night"] * 20
encoder = ColumnTransformer(
    [("one", OneHotEncoder(handle_unknown="ignore"), ["city"]), ("two", StandardScaler(), ["size", "age"])]
)
models = {
    "linear": LinearRegression().fit(X, y),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, word),
    "scaler": StandardScaler().fit(X),
    "named": make_pipeline(encoder, LogisticRegression()).fit(frame, frame["age"] % 2),
    "forest": RandomForestClassifier(20, random_state=0).fit(X, word),
    "numbers": RandomForestRegressor(20, random_state=0).fit(gaps, y),
    "boosted": HistGradientBoostingRegressor(max_iter=5).fit(X, y),
    "imputer": SimpleImputer(add_indicator=True).fit(gaps),
    "text": make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [text[0] == "g" for text in texts]),
    "neighbours": KNeighborsClassifier().fit(X.round(), word),
}
for name, model in models.items():
    joblib.dump(model, folder / f"{name}.joblib")
"""

LIST = "inputs: float64[4]"
CLASSES = "predictions: string; probabilities: float64[2]"


class Case(NamedTuple):
    """A model, and what its trial finds: the beginning of the reason."""

    name: str
    inputs: str
    outputs: str
    runtime: Runtime
    reason: str


EQUAL = "its converted file gave the same answers to "
NATIVE, ISOLATED = Runtime.NATIVE, Runtime.ISOLATED

CASES = (
    Case("linear", "a: float64; b: float64; c: float64; d: float64", "y: float64", NATIVE, EQUAL),
    Case("logistic", LIST, CLASSES, NATIVE, EQUAL),
    Case("scaler", "inputs: float32[4]", "predictions: float32[4]", NATIVE, EQUAL),
    Case("named", "age: int64; city: string; size: float64", "predictions: int64", NATIVE, EQUAL),
    Case("numbers", LIST, "y: float64", NATIVE, EQUAL),
    Case("forest", LIST, CLASSES, ISOLATED, "the converted file answers otherwise ("),
    Case(
        "boosted",
        LIST,
        "y: float64",
        ISOLATED,
        "the converter is known to be wrong about HistGradientBoostingRegressor",
    ),
    Case("imputer", LIST, "y: float64[8]", ISOLATED, "the converter is known to be wrong about SimpleImputer"),
    Case("text", "text: string", "y: bool", ISOLATED, "the converter is known to be wrong about TfidfVectorizer"),
    Case("neighbours", LIST, CLASSES, ISOLATED, ""),
)


@pytest.fixture(scope="module")
def models(shared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = EnvironmentStore(shared_home / "envs", environ=os.environ)
    spec = EnvironmentSpec(requirements=("scikit-learn==1.9.1", "joblib>=1.2", "pandas"))
    environment: Environment = store.ensure(spec)
    folder = tmp_path_factory.mktemp("models")
    with store.in_use(environment):
        subprocess.run([environment.python, "-c", AUTHOR, folder], check=True)
    return folder


def tried(home: Path, file: Path, case: Case, *, runtime: Runtime | None = None) -> LoadedModel:
    inputs, outputs = parse_schema(case.inputs), parse_schema(case.outputs)
    package = home / "package"
    package.write_bytes(file.read_bytes())
    job = TrialJob(
        name=case.name,
        path=str(package),
        file_name=file.name,
        flags=ModelSettings(input_schema=inputs, output_schema=outputs, runtime=runtime),
        arch=Architecture.X86,
        accel=Acceleration.NONE,
        settings=settings_to_json(Settings(home=home)),
        parent=os.getpid(),
    )
    return try_out(job, report=lambda *_: None)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_model_runs_where_its_proof_says(models: Path, free_home: Path, case: Case) -> None:
    found = tried(free_home, models / f"{case.name}.joblib", case)
    assert found.proof is not None
    assert (found.runtime, found.proof.equal) == (case.runtime, case.runtime is NATIVE), found.proof.reason
    assert found.proof.reason.startswith(case.reason)
    assert found.environment is not None
    assert (found.converted is not None) == found.proof.equal
    if found.proof.equal:
        assert found.proof.rows >= 2000
        assert found.proof.largest <= found.proof.tolerance == 1e-5
        assert (found.proof.converter or "").startswith("skl2onnx 1.20.")
        assert (free_home / "model.onnx").is_file()


def test_native_that_was_not_proved_is_an_error_and_isolated_is_not_tried(models: Path, free_home: Path) -> None:
    case = next(each for each in CASES if each.name == "boosted")
    with pytest.raises(Invalid) as caught:
        tried(free_home, models / "boosted.joblib", case, runtime=NATIVE)
    assert (caught.value.reason, caught.value.path) == ("not_proved", "runtime")
    found = tried(free_home, models / "linear.joblib", CASES[0], runtime=ISOLATED)
    assert (found.runtime, found.proof, found.converted) == (ISOLATED, None, None)
