import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.domain.names import check_name, check_workspace_name, propose_name
from trivet.errors import Invalid


@pytest.mark.parametrize("name", ["a", "7", "ccfraud", "house-price-2", "a--b", "x" * 63])
def test_a_dns_label_is_a_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("", "model"),
        ("CC Fraud_v2", "cc-fraud-v2"),
        ("-a-", "a"),
        ("a.onnx", "a-onnx"),
        ("a\n", "a"),
        ("Größe", "groe"),
        ("../../etc/passwd", "etc-passwd"),
        ("模型", "model"),
        ("x" * 64, "x" * 63),
        ("x" * 62 + "-y", "x" * 62),
        ("\ud800", "model"),
    ],
)
def test_what_is_none_is_refused_and_a_name_proposed(name: str, proposed: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_name(name)

    assert caught.value.fix == f"{proposed!r} would do"
    assert str(caught.value).encode()


def test_a_name_that_is_too_long_is_refused_for_its_length() -> None:
    with pytest.raises(Invalid, match="it has 100000 characters, and 63 are allowed") as caught:
        check_name("x" * 100_000)
    assert len(str(caught.value)) < 300


@given(st.text())
def test_what_is_proposed_is_a_name_and_a_name_is_proposed_as_it_is(text: str) -> None:
    proposed = propose_name(text)

    assert check_name(proposed) == proposed
    assert propose_name(proposed) == proposed


@pytest.mark.parametrize("name", ["default", "ccfraud_workspace", "Edge.Demo-1", "a" * 63])
def test_a_workspace_may_have_a_name_that_a_model_may_not(name):
    assert check_workspace_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "..", "ä", "a" * 64, "a\n"])
def test_an_invalid_workspace_name_is_refused_with_a_valid_one(name):
    with pytest.raises(Invalid) as caught:
        check_workspace_name(name)
    assert "would do" in caught.value.fix
