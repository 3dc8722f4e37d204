"""Files of LightGBM: what they are, the schemas and the environment that they need, and why they are refused."""

from pathlib import Path

import pytest

from trivet.domain.frameworks import Framework
from trivet.domain.package import ModelSettings
from trivet.domain.schema import format_schema
from trivet.errors import BadPackage
from trivet_tests.packaged import opened
from trivet_tests.pickled import CONTAINERS, called, named, pickled, text

NUMBERS = "[0:1] [0:9] none"


def written(*, objective: str = "binary sigmoid:1", classes: int = 1, infos: str = NUMBERS) -> str:
    lines = ["tree", "version=v4", f"num_class={classes}", "max_feature_idx=2", f"objective={objective}"]
    return "\n".join([*lines, f"feature_infos={infos}", "tree_sizes=451", "", "Tree=0", "num_leaves=3", ""])


def long_text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def pickled_model(name: str, held: str) -> bytes:
    booster = named("lightgbm.basic", "Booster") + b")\x81}" + text("_handle") + long_text(held) + b"sb"
    return pickled(named("lightgbm.sklearn", name), b")\x81}", text("_Booster"), booster, b"sb")


@pytest.mark.parametrize(
    ("data", "facts", "answers"),
    [
        (written(), "3 features, objective binary", "predictions: int64; probabilities: float64[2]"),
        (
            written(objective="multiclass num_class:3", classes=3),
            "3 features, objective multiclass",
            "predictions: int64; probabilities: float64[3]",
        ),
        (written(objective="lambdarank"), "3 features, objective lambdarank", "predictions: float64"),
    ],
    ids=["binary", "classes", "numbers"],
)
def test_a_text_file_says_its_schemas(tmp_path: Path, data: str, facts: str, answers: str) -> None:
    package = opened(tmp_path, {"m.txt": data.encode()})
    contents = package.contents
    assert package.framework is Framework.LIGHTGBM
    assert (contents.requirements, contents.facts) == (("lightgbm>=4", "pandas"), (facts,))
    assert contents.input_schema is not None
    assert contents.output_schema is not None
    assert format_schema(contents.input_schema) == "inputs: float64[3]"
    assert format_schema(contents.output_schema) == answers


def test_features_that_are_categories_have_no_schema_of_numbers(tmp_path: Path) -> None:
    contents = opened(tmp_path, {"m.model": written(infos="0:1:2 [0:9] none").encode()}).contents
    assert contents.input_schema is None


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("size", [0, 9000], ids=["short", "long"])
def test_a_pickle_holds_the_text_of_its_booster(tmp_path: Path, container: str, size: int) -> None:
    held = written(objective="regression") + "#" * size
    package = opened(tmp_path, {"m.pkl": CONTAINERS[container](pickled_model("LGBMRegressor", held))})
    contents = package.contents
    assert package.framework is Framework.LIGHTGBM
    lz4 = ["lz4"] if container == "lz4" else []
    assert contents.requirements == ("lightgbm>=4", *lz4, "scikit-learn", "pandas")
    assert contents.facts == ("3 features, objective regression",)
    assert contents.notes == ("a .txt file is safer than m.pkl: model.booster_.save_model('model.txt') writes one",)


def test_the_classes_of_a_pickled_classifier_may_be_texts(tmp_path: Path) -> None:
    contents = opened(tmp_path, {"m.pkl": pickled_model("LGBMClassifier", written())}).contents
    assert contents.input_schema is not None
    assert contents.output_schema is None


def test_the_requirements_beside_a_text_file_are_not_its_model(tmp_path: Path) -> None:
    files = {"m.txt": written().encode(), "requirements.txt": b"lightgbm==4.5.0\n"}
    package = opened(tmp_path, files, lone=False)
    assert package.framework is Framework.LIGHTGBM
    assert package.contents.files == {"model": "m.txt"}
    assert package.contents.requirements == ("lightgbm==4.5.0", "pandas")


def test_a_model_that_runs_other_code_is_refused_with_its_name(tmp_path: Path) -> None:
    model = named("lightgbm.sklearn", "LGBMRanker") + b")\x81}" + text("a") + called("os", "system", text("echo"))
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"m.joblib": pickled(model, b"sb")})
    assert (caught.value.what, caught.value.why) == (
        "'m.joblib' would run code that a model of lightgbm does not need",
        "loading it calls or names os.system",
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"hello", "it does not begin as LightGBM's text files do"),
        (b"tree\nversion=v4\nnum_class=1\n", "its header is not complete"),
    ],
    ids=["text", "cut off"],
)
def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"m.txt": data})
    assert (caught.value.what, caught.value.why) == ("'m.txt' is not a model of LightGBM", why)


def test_a_framework_that_the_content_contradicts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="'m.model' is a LightGBM model, and not an XGBoost model"):
        opened(tmp_path, {"m.model": written().encode()}, settings=ModelSettings(framework=Framework.XGBOOST))
