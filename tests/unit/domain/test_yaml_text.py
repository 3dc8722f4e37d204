import math
import re
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trivet.domain.yaml_text import read_yaml
from trivet.errors import Invalid
from trivet_tests.hostile.corpus import entries
from trivet_tests.hostile.entry import within_bounds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("true", True),
        ("no", "no"),
        ("on", "on"),
        ("NO", "NO"),
        ("17", 17),
        ("-3", -3),
        ("010", 10),
        ("1_000", "1_000"),
        ("0.5", 0.5),
        ("1e-5", 1e-5),
        ("-.5E3", -500.0),
        ("12:30", "12:30"),
        ("2014-10-13", "2014-10-13"),
        ("1.2.3", "1.2.3"),
        ("-.inf", -math.inf),
        ("'17'", "17"),
        ('"true"', "true"),
        ("!!str 17", "17"),
        ("|\n  a\n  b", "a\nb"),
        ("{1: a, true: b, null: c}", {"1": "a", "true": "b", "null": "c"}),
        ("- a\n- [b, {c: 1}]\n- {}\n", ["a", ["b", {"c": 1}], {}]),
        ("<<: 1", {"<<": 1}),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_plain_words_mean_what_they_say(text: str, value: Any) -> None:
    found = read_yaml(text)

    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(read_yaml(".nan"))


@pytest.mark.parametrize("hostile", entries("yaml"), ids=str)
def test_what_surprises_is_refused_by_its_line_within_its_bounds(hostile) -> None:
    text = hostile.make()
    with within_bounds(hostile, size=len(text)), pytest.raises(Invalid) as caught:
        read_yaml(text)

    assert caught.value.what.startswith(hostile.outcome)
    assert caught.value.path == hostile.about["path"]


# PyYAML writes YAML 1.1, where 0E0 is a text; this reads YAML 1.2, where it is a number.
TEXTS = st.text().filter(lambda text: re.fullmatch(r"[-+]?[0-9.]+[eE][-+]?[0-9]+", text) is None)
PLAIN_DATA = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@given(PLAIN_DATA)
def test_what_yaml_writes_of_plain_data_comes_back(value: Any) -> None:
    class WithoutAliases(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    assert read_yaml(yaml.dump(value, Dumper=WithoutAliases)) == value


@given(st.one_of(st.text(), st.binary()))
def test_anything_is_a_value_or_an_error_of_the_caller(data: str | bytes) -> None:
    with suppress(Invalid):
        read_yaml(data)
