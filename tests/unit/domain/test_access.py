"""The rule who may do what."""

import pytest

from trivet.domain.access import ALLOWED, OWNER, Action, Caller, Role, check, may
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
