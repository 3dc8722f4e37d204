"""Files of XGBoost: what they are, the schemas and the environment that they need, and why they are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from trivet.domain.frameworks import Framework
from trivet.domain.package import ModelSettings
from trivet.domain.schema import format_schema
from trivet.errors import BadPackage
from trivet_tests.packaged import opened
from trivet_tests.pickled import CONTAINERS, called, named, pickled, text
from trivet_tests.ubj import booster, buffer, ubjson

BOTH = "predictions: int64; probabilities: float32"


ENDLESS = b"{L" + (7).to_bytes(8, "big") + b"version[$Z#L" + (1 << 60).to_bytes(8, "big")


def bytes_of(data: bytes) -> bytes:
    return b"B" + len(data).to_bytes(4, "little") + data


def pickled_booster(**said: Any) -> bytes:
    held = named("builtins", "bytearray") + bytes_of(buffer(**said)) + b"\x85R"
    return named("xgboost.core", "Booster") + b")\x81}" + text("handle") + held + b"sb"


def pickled_model(name: str, **said: Any) -> bytes:
    return pickled(named("xgboost.sklearn", name), b")\x81}", text("_Booster"), pickled_booster(**said), b"sb")


@pytest.mark.parametrize("suffix", [".ubj", ".json", ".bst", ".model"])
def test_a_file_says_its_release_and_its_schemas(tmp_path: Path, suffix: str) -> None:
    said = booster(objective="multi:softprob", classes=3, estimator="classifier")
    data = json.dumps(said).encode() if suffix == ".json" else ubjson(said)
    package = opened(tmp_path, {f"m{suffix}": data})
    contents = package.contents
    assert package.framework is Framework.XGBOOST
    assert contents.requirements == ("xgboost==3.2.0", "scikit-learn", "pandas")
    assert contents.facts == ("written by XGBoost 3.2.0, a classifier of 4 features, objective multi:softprob",)
    assert contents.input_schema is not None
    assert contents.output_schema is not None
    assert format_schema(contents.input_schema) == "inputs: float64[4]"
    assert format_schema(contents.output_schema) == f"{BOTH}[3]"
    assert contents.notes == ()


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        ({}, f"{BOTH}[2]"),
        ({"estimator": "regressor"}, "predictions: float32"),
        ({"objective": "rank:ndcg"}, "predictions: float32"),
        ({"objective": "reg:squarederror", "targets": 2}, "predictions: float32[2]"),
        ({"targets": 2}, None),
        ({"objective": "reg:quantileerror"}, None),
    ],
    ids=str,
)
def test_what_it_answers_follows_from_its_objective(tmp_path: Path, said: dict[str, Any], answers: str | None) -> None:
    schema = opened(tmp_path, {"m.ubj": ubjson(booster(**said))}).contents.output_schema
    assert (None if schema is None else format_schema(schema)) == answers


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("name", "kind", "answers"),
    [
        ("XGBClassifier", "classifier", f"{BOTH}[2]"),
        ("XGBRFClassifier", "classifier", f"{BOTH}[2]"),
        ("XGBRegressor", "regressor", "predictions: float32"),
        ("XGBRanker", "ranker", "predictions: float32"),
    ],
)
def test_a_pickle_is_known_by_its_class(tmp_path: Path, container: str, name: str, kind: str, answers: str) -> None:
    package = opened(tmp_path, {"m.pkl": CONTAINERS[container](pickled_model(name, version=(1, 7, 4)))})
    contents = package.contents
    assert package.framework is Framework.XGBOOST
    lz4 = ["lz4"] if container == "lz4" else []
    assert contents.requirements == ("xgboost==1.7.4", *lz4, "scikit-learn<1.6", "pandas")
    assert contents.facts == (f"written by XGBoost 1.7.4, a {kind} of 4 features, objective binary:logistic",)
    assert contents.output_schema is not None
    assert format_schema(contents.output_schema) == answers
    assert contents.notes == ("a .ubj file is safer than m.pkl: model.save_model('model.ubj') writes one",)


def test_a_booster_needs_no_scikit_learn(tmp_path: Path) -> None:
    package = opened(tmp_path, {"m.joblib": pickled(pickled_booster())})
    assert package.contents.requirements == ("xgboost==3.2.0", "joblib>=1.2", "pandas")


def test_the_newest_release_loads_what_does_not_say_its_own(tmp_path: Path) -> None:
    model = pickled(named("xgboost.core", "Booster"), b")\x81}", text("handle"), bytes_of(b"binf"), b"sb")
    contents = opened(tmp_path, {"m.pkl": model}).contents
    assert contents.requirements == ("xgboost", "joblib>=1.2", "pandas")
    assert "m.pkl does not say which release of XGBoost wrote it: the newest loads it" in contents.notes


def test_a_framework_that_the_content_contradicts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="'m.pkl' is an XGBoost model, and not a scikit-learn model"):
        opened(tmp_path, {"m.pkl": pickled_model("XGBClassifier")}, settings=ModelSettings(framework=Framework.SKLEARN))


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_model_that_runs_other_code_is_refused_with_its_name(tmp_path: Path, container: str) -> None:
    model = named("xgboost.sklearn", "XGBClassifier") + b")\x81}" + text("a") + called("os", "system", text("echo"))
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"m.joblib": CONTAINERS[container](pickled(model, b"sb"))})
    assert (caught.value.what, caught.value.why) == (
        "'m.joblib' would run code that a model of xgboost does not need",
        "loading it calls or names os.system",
    )


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("m.ubj", ubjson(booster())[:-40], "it is neither its JSON nor its UBJSON: it is cut off"),
        ("m.ubj", b"binf", "it is neither its JSON nor its UBJSON: Expecting value: line 1 column 1 (char 0)"),
        ("m.json", b"", "it is neither its JSON nor its UBJSON: it is empty"),
        ("m.bst", b"{L" + b"\xff" * 8, "it is neither its JSON nor its UBJSON: a length is not a number"),
        ("m.ubj", ubjson({"learner": "x"}), "it is neither its JSON nor its UBJSON: it has no learner"),
        ("m.ubj", ENDLESS, "it is neither its JSON nor its UBJSON: an array of constants"),
    ],
    ids=["cut off", "binary", "empty", "length", "no learner", "endless"],
)
def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {name: data}, settings=ModelSettings(framework=Framework.XGBOOST))
    assert (caught.value.what, caught.value.why) == (f"{name!r} is not a model of XGBoost", why)


@pytest.mark.parametrize("name", ["feature_names", "feature_types", "objective", "attributes"])
def test_parts_of_another_type_are_not_used(tmp_path: Path, name: str) -> None:
    document = booster()
    document["learner"][name] = 5
    assert opened(tmp_path, {"m.ubj": ubjson(document)}).contents.requirements[0] == "xgboost==3.2.0"


def test_values_nested_without_end_are_refused(tmp_path: Path) -> None:
    deep = b"{" + b"".join(b"L" + (1).to_bytes(8, "big") + b"a{" for _ in range(5000))
    with pytest.raises(BadPackage, match="nested too deeply"):
        opened(tmp_path, {"m.ubj": b"{L" + (7).to_bytes(8, "big") + b"learner" + deep})


def test_infinite_thresholds_of_a_json_file_are_read(tmp_path: Path) -> None:
    text_of = json.dumps(booster()).replace('"none"', "[Infinity]")
    assert opened(tmp_path, {"m.json": text_of.encode()}).contents.requirements[0] == "xgboost==3.2.0"
