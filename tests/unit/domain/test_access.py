"""The rule who may do what."""

import pytest

from trivet.domain.access import ALLOWED, OWNER, Action, Caller, Role, callers_of, check, may
from trivet.errors import Forbidden

GUEST = Caller(name="guest")


def test_each_role_has_a_row_in_the_table() -> None:
    assert set(ALLOWED) == set(Role)


@pytest.mark.parametrize("action", Action)
def test_the_owner_may_do_everything_everywhere(action: Action) -> None:
    assert all(may(OWNER, action, workspace) for workspace in (None, 1, "default"))
    check(OWNER, action, "default")


@pytest.mark.parametrize("action", Action)
def test_a_caller_without_a_role_may_do_nothing(action: Action) -> None:
    assert not any(may(GUEST, action, workspace) for workspace in (None, 1, "default"))
    with pytest.raises(Forbidden) as caught:
        check(GUEST, action, "default")
    assert str(caught.value) == (
        f"'guest' may not {action}: no role of this caller allows it\n"
        "  fix use the owner's token, or ask the owner to do it"
    )


def test_each_token_has_its_caller() -> None:
    callers = callers_of({"first-token": OWNER, "second-token": GUEST})
    assert callers(b"first-token") is OWNER
    assert callers(b"second-token") is GUEST
    assert [callers(text) for text in (b"", b"first-toke", b"first-token2", b"\xff")] == [None] * 4
    with pytest.raises(ValueError, match="a token is empty"):
        callers_of({"": OWNER})


@pytest.mark.parametrize("action", Action)
def test_a_client_of_the_gateway_may_only_request_predictions(action: Action) -> None:
    assert may(Caller(name="client", roles=frozenset({Role.CLIENT})), action, 1) == (action is Action.PREDICT)
