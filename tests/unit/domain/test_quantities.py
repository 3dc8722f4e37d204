"""Amounts of memory as people write them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.domain.quantities import parse_memory
from trivet.errors import Invalid


@pytest.mark.parametrize(
    ("said", "amount"),
    [
        ("1Gi", 2**30),
        ("512Mi", 512 * 2**20),
        ("2G", 2 * 10**9),
        ("10k", 10_000),
        ("1Ti", 2**40),
        (1024, 1024),
        ("7", 7),
    ],
)
def test_an_amount_is_bytes_or_a_number_with_its_unit(said: int | str, amount: int) -> None:
    assert parse_memory(said, path="memory") == amount


@pytest.mark.parametrize(
    "said",
    ["", "0", "-1Gi", "1.5Gi", "Gi", "1 Gi", "1gi", "1GiB", "\N{FULLWIDTH DIGIT ONE}Gi", "9" * 19, "99999999Ti", 0, -5],
)
def test_an_invalid_amount_is_refused_with_its_place(said: int | str) -> None:
    with pytest.raises(Invalid, match="is not an amount of memory") as caught:
        parse_memory(said, path="engine.memory")
    assert caught.value.path == "engine.memory"


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_refused(said: str) -> None:
    with contextlib.suppress(Invalid):
        assert 0 < parse_memory(said, path="memory") < 2**63
