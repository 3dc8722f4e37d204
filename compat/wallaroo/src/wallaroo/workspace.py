"""Workspaces."""

from typing import Any, Self

import trivet
from trivet.sdk import operations
from wallaroo.lists import Shown
from wallaroo.model import Model, ModelList
from wallaroo.object import CONNECTIONS, ONE_USER, REGISTRIES, absent
from wallaroo.pipeline import PipelineList
from wallaroo.user import User, UserList

__all__ = ["Workspace", "WorkspaceList"]


class Workspace(trivet.Workspace):
    """The owner of models and pipelines."""

    def models(self) -> ModelList:
        """Its models."""
        found = self._client.run(operations.call("GET", "/v1/models", query={"workspace": self.name()}))
        return ModelList(Model(self._client, {**each, "workspace": self.name()}) for each in found["models"])

    def pipelines(self) -> PipelineList:
        """Its pipelines."""
        return PipelineList(super().pipelines())

    def _shown(self) -> dict[str, Any]:
        return {**super()._shown(), "models": list(self.models()), "pipelines": list(self.pipelines())}

    def users(self) -> UserList:
        """Its users: the one user there is, its owner."""
        asked = {"workspace_id": self.id()}
        ids = {each["user_id"] for each in self._post("workspaces/list_users", asked)["users"]}
        known = self._post("users/query", {})["users"]
        return UserList(User(each) for key, each in known.items() if key in ids)

    def owners(self) -> UserList:
        """Its owners: the same."""
        return self.users()

    def add_user(self, user_email: str) -> Self:
        """Do nothing for the one user there is, who may use every workspace.

        Raises:
            EntityNotFoundError: it is another one.
        """
        self._post("workspaces/add_user", {"workspace_id": self.id(), "email": user_email})
        return self

    def add_owner(self, owner_email: str) -> Self:
        """Do nothing for the one user there is, who owns every workspace.

        Raises:
            EntityNotFoundError: it is another one.
        """
        return self.add_user(owner_email)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._client.run(operations.call("POST", f"/v1/api/{path}", body=body))
        return found

    remove_user = absent("removing a user is", fix=ONE_USER)
    add_connection = absent("connections are", fix=CONNECTIONS)
    remove_connection = absent("connections are", fix=CONNECTIONS)
    list_connections = absent("connections are", fix=CONNECTIONS)
    add_registry_to_workspace = absent("model registries are", fix=REGISTRIES)


class WorkspaceList(Shown[trivet.Workspace]):
    """Workspaces, shown as a table."""

    empty = "(no workspaces)"

    @staticmethod
    def row(thing: trivet.Workspace) -> dict[str, Any]:
        """A workspace's row."""
        return {
            "ID": thing.id(),
            "Name": thing.name(),
            "Created At": thing._document["created_at"],  # noqa: SLF001
            "Models": len(thing.models()),
            "Pipelines": len(thing.pipelines()),
        }
