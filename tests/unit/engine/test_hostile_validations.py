"""Validations that would cost more than they should: each is refused before it is evaluated, with its reason and its bound."""

import polars as pl
import pytest

from trivet.domain.pipeline import Validation
from trivet.domain.schema import parse_schema
from trivet.engine.checks.checks import Checks
from trivet.engine.checks.patterns import positions
from trivet.engine.checks.validations import check_validations
from trivet.errors import Invalid, TooLarge, TrivetError
from trivet_tests.hostile.corpus import entries
from trivet_tests.hostile.entry import within_bounds
from trivet_tests.hostile.validations import GROWS, as_json, text, whole

INPUTS = parse_schema("s: string; p: string; x: int64; y: int64; l: string[]")
OUTPUTS = parse_schema("z: float64")


@pytest.mark.parametrize("hostile", entries("validation"), ids=str)
def test_a_costly_expression_is_refused_within_its_bounds(hostile):
    expression = hostile.make()
    # polars itself is imported with the first expression.
    check_validations([Validation(name="v", expression=as_json(text == "x"))])
    with within_bounds(hostile, size=0), pytest.raises((Invalid, TooLarge)) as caught:
        Checks([Validation(name="v", expression=expression)], INPUTS, OUTPUTS)
    assert caught.value.what == "validation 'v' cannot be used"
    assert hostile.outcome in caught.value.why
    assert caught.value.fix


MANY = {
    "validations": (
        [as_json(whole > 1)] * 101,
        "the pipeline has too many validations: there are 101; the limit is 100",
    ),
    "characters": (
        [as_json(text == "z" * 200_000)] * 6,
        "the pipeline has too many characters of validations: there are ",
    ),
    "operations": (
        [as_json(pl.any_horizontal([whole > n for n in range(400)]))] * 6,
        "the pipeline has too many operations in its validations: there are ",
    ),
    "patterns": (
        [as_json(text.str.contains("a{900}"))] * 3,
        "the pipeline has too many positions in its patterns: there are 2700; the limit is 2000",
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_all_validations_together_have_limits(name):
    expressions, said = MANY[name]
    with pytest.raises(TooLarge) as caught:
        check_validations([Validation(name=f"v{n}", expression=each) for n, each in enumerate(expressions)])
    assert caught.value.message.startswith(said)
    assert caught.value.fix


USUAL = {
    "a date": (r"^\d{4}-\d{2}-\d{2}$", 28),
    "a uuid": (r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$", 105),
    "an address": (r"(?i)^\S+@\S+\.\w{2,10}$", 84),
    "a phone": (r"^\+?[0-9 ()/-]{7,20}$", 65),
    "brackets": (r"[]a(]{3}[^]]\[{2}", 18),
    "named": (r"(?P<a>x){3}(?<b>y)", 8),
    "characters by name": (r"\p{Greek}{2}\x{41}\u0041", 12),
}


@pytest.mark.parametrize("name", USUAL)
def test_usual_patterns_are_small(name):
    pattern, size = USUAL[name]
    assert positions(pattern) == size


@pytest.mark.parametrize("pattern", ["(", ")", "[a", "a{", "a{x}", "\\", "a(b", "(?:"])
def test_incomplete_patterns_are_refused(pattern):
    with pytest.raises(Invalid) as caught:
        positions(pattern)
    assert caught.value.what.startswith("the pattern ")


@pytest.mark.parametrize(
    "pattern", ["(" * 2**20, "[" * 2**20, "(" * 900 + "*" * 2**20], ids=["groups", "classes", "deep"]
)
def test_a_million_signs_are_refused_in_one_pass(pattern):
    with pytest.raises((Invalid, TooLarge)):
        positions(pattern)


def test_sums_of_many_numbers_do_not_grow_as_texts_would():
    total = pl.sum_horizontal([whole] * 40) + sum([whole] * 40, start=pl.lit(0))
    validation = Validation(name="v", expression=as_json(total > 1))
    Checks([validation], INPUTS, OUTPUTS)
    with pytest.raises(TrivetError, match=GROWS):
        check_validations([validation])
