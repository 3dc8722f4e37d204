"""Schemas that type hints declare."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypedDict

import numpy as np
import pytest
from numpy.typing import NDArray

from trivet import Schema
from trivet.domain.schema import format_schema
from trivet.errors import Invalid


@dataclass
class Place:
    lat: float
    name: str | None = None


class Answer(TypedDict):
    p: np.float32
    at: datetime


def predict(
    age: int,
    when: datetime | None,
    tags: list[str],
    x: NDArray[np.float32],
    image: Annotated[Any, "uint8[28,28]"],
    place: Place,
) -> Answer:
    raise NotImplementedError


def test_a_functions_arguments_are_fields():
    assert format_schema(Schema.of(predict)) == (
        "age: int64; when: timestamp[us]?; tags: string[]; x: float32[]; image: uint8[28,28]; "
        "place: struct{lat: float64, name: string?}"
    )


def test_members_of_a_typed_dict_are_fields():
    assert format_schema(Schema.of(Answer)) == "p: float32; at: timestamp[us]"


def test_data_and_texts_give_schemas_too():
    assert Schema.of({"a": [1.5]}) == Schema.parse("a: float64")


def no_hint(age):
    raise NotImplementedError


def strange(age: object):
    raise NotImplementedError


def unions(age: int | str):
    raise NotImplementedError


def nothing():
    raise NotImplementedError


@pytest.mark.parametrize("function", [no_hint, strange, unions, nothing])
def test_a_hint_without_a_type_in_schemas_is_named(function):
    with pytest.raises(Invalid) as error:
        Schema.of(function)
    assert error.value.fix
    assert "age" in error.value.message or "nothing" in error.value.message
