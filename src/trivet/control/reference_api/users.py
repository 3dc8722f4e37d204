"""Users in the reference's MLOps API."""

from fastapi import APIRouter, Body

from trivet.control.context import Control
from trivet.control.http.access import CurrentCaller
from trivet.control.reference_api.reading import Document, field, optional
from trivet.control.use_cases import users
from trivet.domain.access import Caller
from trivet.errors import Invalid

__all__ = ["add_user_routes"]


def add_user_routes(routes: APIRouter, control: Control) -> None:
    """Below `users`, and those of `workspaces` that are about users."""

    @routes.post("/users/query")
    def query(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """The users by id: there is one. `{"user_ids"?: [ids]}`."""
        asked = optional(body, "user_ids", list)
        found = {each.name: _user(each) for each in users.list_users(caller)}
        return {"users": {name: each for name, each in found.items() if asked is None or name in asked}}

    @routes.post("/users/activate")
    def activate(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """Nothing changes, because the one user is active: `{"email"}`."""
        users.find_user(caller, _name(body))
        return {}

    @routes.post("/workspaces/list_users")
    def list_users(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """The users of a workspace: `{"workspace_id"}`."""
        _, members = users.list_members(control, caller, workspace=field(body, "workspace_id", int))
        return {"users": [{"user_id": each.name, "user_type": "OWNER"} for each in members]}

    @routes.post("/workspaces/add_user")
    def add_user(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """Nothing changes, because the one user may use every workspace: `{"workspace_id", "email"}`."""
        users.find_member(control, caller, workspace=field(body, "workspace_id", int), name=_name(body))
        return {}


def _name(body: Document) -> str:
    """The user that a body names; the reference's calls use different fields."""
    for name in ("email", "user_id", "id"):
        found = optional(body, name, str)
        if found is not None:
            return found
    raise Invalid("'email' is missing", fix="send 'email', a text", path="email")


def _user(user: Caller) -> Document:
    return {
        "id": user.name,
        "username": user.name,
        "email": user.name,
        "emailVerified": True,
        "enabled": True,
        "access": {"manage": True},
        "requiredActions": [],
    }
