"""Errors of the control API."""

import orjson
import pytest

from trivet.control.http.errors import STATUS, error_response, of_details
from trivet.errors import Conflict, Invalid, Kind, Overloaded, Unavailable


def test_every_kind_of_error_has_a_status() -> None:
    assert set(STATUS) == set(Kind)
    assert all(400 <= status <= 599 for status in STATUS.values())


def test_an_error_has_the_references_fields_and_ours() -> None:
    error = Conflict("two things", why="they cannot both be", fix="take one", path="steps[1]", reason="slug")
    said = orjson.loads(error_response(error).body)
    assert said.pop("request_id")
    assert said == {
        "code": 409,
        "status": "error",
        "error": "two things: they cannot both be",
        "msg": "two things: they cannot both be",
        "source": "platform",
        "reason": "slug",
        "class": "Conflict",
        "what": "two things",
        "why": "they cannot both be",
        "path": "steps[1]",
        "fix": "take one",
    }


@pytest.mark.parametrize("error", [Overloaded("full"), Unavailable("gone")])
def test_what_may_go_well_a_little_later_says_when_to_try_again(error: Overloaded | Unavailable) -> None:
    assert error_response(error).headers["retry-after"] == "1"


def test_an_error_that_quotes_half_a_character_can_be_sent() -> None:
    assert orjson.loads(error_response(Invalid("\ud800 is no name")).body)["what"] == "? is no name"


@pytest.mark.parametrize("said", ["onxx", "ONNX", "Onnx ", "pyhton", "costum", "skleran"])
def test_a_misspelt_framework_gets_the_nearest_name(said: str) -> None:
    error = of_details([{"type": "enum", "loc": ("body", "framework"), "input": said, "msg": ""}])
    nearest = {"p": "python", "c": "custom", "s": "sklearn"}.get(said[0], "onnx")
    assert str(error) == (
        f"unknown framework {said!r}: known are onnx, custom, python, sklearn, xgboost, lightgbm, catboost, pytorch, tensorflow, keras and hugging-face-TASK\n"
        "  at  framework\n"
        f"  fix did you mean {nearest!r}?"
    )


@pytest.mark.parametrize("said", ["mlflow", "paddle", "h2o"])
def test_a_framework_that_is_not_there_yet_is_not_taken_for_another(said: str) -> None:
    error = of_details([{"type": "enum", "loc": ("body", "framework"), "input": said, "msg": ""}])
    assert error.what == f"the framework {said!r} is not supported yet"
    assert "framework custom" in str(error.fix)


def test_errors_about_fields_do_not_use_the_librarys_texts() -> None:
    error = of_details([{"type": "value_error", "loc": ("body", "x"), "msg": "Value error, 'a' is no number"}])
    assert error.why == "'a' is no number"


def test_a_schema_that_is_not_a_text_is_refused_with_an_example() -> None:
    error = of_details(
        [{"type": "string_type", "loc": ("body", "input_schema"), "msg": "Input should be a valid string"}]
    )
    assert (error.path, error.fix) == (
        "input_schema",
        "send base64 of schema.serialize(), or 'field: float32[29]; other: string'",
    )
