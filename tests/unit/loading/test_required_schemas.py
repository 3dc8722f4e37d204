"""The errors for a model without schemas."""

from dataclasses import replace

import pyarrow as pa
import pytest

from trivet.domain.frameworks import FRAMEWORKS, Framework
from trivet.errors import BadPackage, Invalid
from trivet.loading.prepare import required_schema

ASKED = FRAMEWORKS[Framework.CUSTOM]
OWN = replace(ASKED, title="a tree", schemas="own")
X = pa.schema([pa.field("x", pa.float32())])


@pytest.mark.parametrize("facts", [ASKED, OWN])
def test_a_given_schema_is_used(facts) -> None:
    assert required_schema(X, "input", facts) is X


def test_the_owner_is_asked_where_code_has_no_schema() -> None:
    with pytest.raises(Invalid) as caught:
        required_schema(None, "output", ASKED)
    assert caught.value.message == "a custom model needs an output schema: its code does not declare its schemas"


def test_a_file_that_must_say_its_schema_is_refused_without_one() -> None:
    with pytest.raises(BadPackage) as caught:
        required_schema(None, "input", OWN)
    assert caught.value.message == "a tree without an input schema cannot be loaded: its file does not say the schema"
