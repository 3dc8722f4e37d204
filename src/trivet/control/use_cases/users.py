"""Use cases: users. There is one, the owner."""

from trivet.control.context import Control
from trivet.domain.access import OWNER, Action, Caller, check
from trivet.domain.version import Workspace
from trivet.errors import NotFound

__all__ = ["find_member", "find_user", "list_members", "list_users"]


def list_users(caller: Caller) -> list[Caller]:
    """All users."""
    check(caller, Action.VIEW)
    return [OWNER]


def find_user(caller: Caller, name: str) -> Caller:
    """A user by name.

    Raises:
        NotFound: there is no such user.
    """
    check(caller, Action.VIEW)
    if name != OWNER.name:
        raise NotFound(
            f"user {name!r:.80} not found",
            why=f"Trivet has one user, {OWNER.name!r}, who may use everything",
            fix=f"leave the call out, or name {OWNER.name!r}",
            reason="unknown_user",
        )
    return OWNER


def list_members(control: Control, caller: Caller, *, workspace: int) -> tuple[Workspace, list[Caller]]:
    """A workspace, and the users who may use it.

    Raises:
        NotFound: there is no such workspace.
    """
    check(caller, Action.VIEW, workspace)
    return control.catalog.workspaces.get(workspace), [OWNER]


def find_member(control: Control, caller: Caller, *, workspace: int, name: str) -> Caller:
    """A user of a workspace.

    Raises:
        NotFound: there is no such workspace or user.
    """
    check(caller, Action.VIEW, workspace)
    control.catalog.workspaces.get(workspace)
    return find_user(caller, name)
