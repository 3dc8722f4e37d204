"""Workspaces."""

from typing import Any

import trivet
from trivet.sdk import operations
from wallaroo.lists import Shown
from wallaroo.model import Model, ModelList
from wallaroo.object import absent
from wallaroo.pipeline import PipelineList

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

    add_user = absent("users are")
    add_owner = absent("users are")
    remove_user = absent("users are")
    users = absent("users are")
    add_connection = absent("connections are")
    remove_connection = absent("connections are")
    list_connections = absent("connections are")
    add_registry_to_workspace = absent("model registries are")


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
