"""Workspaces."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from trivet.sdk import operations
from trivet.sdk.calls import Platform
from trivet.sdk.lists import table_of
from trivet.sdk.pipeline import Pipeline
from trivet.sdk.short_tracebacks import short_tracebacks

__all__ = ["Workspace"]


class _Client(Platform, Protocol):
    """A client, and its class of pipelines."""

    @property
    def pipeline_type(self) -> type[Pipeline]:
        """The class of its pipelines."""


@short_tracebacks
class Workspace:
    """The owner of models and pipelines."""

    def __init__(self, client: _Client, document: Mapping[str, Any]) -> None:
        self._client = client
        self._document = document

    def id(self) -> int:
        """Its number."""
        return int(self._document["id"])

    def name(self) -> str:
        """Its name."""
        return str(self._document["name"])

    def models(self) -> list[dict[str, Any]]:
        """Its models, in the reference's form."""
        found = self._client.run(operations.call("GET", "/v1/models", query={"workspace": self.name()}))
        return [
            {
                "name": each["name"],
                "versions": each["versions"],
                "owner_id": '""',
                "last_update_time": datetime.fromisoformat(each["updated_at"]),
                "created_at": datetime.fromisoformat(each["created_at"]),
            }
            for each in found["models"]
        ]

    def pipelines(self) -> list[Pipeline]:
        """Its pipelines."""
        found = self._client.run(operations.call("GET", "/v1/pipelines", query={"workspace": self.name()}))
        return [self._client.pipeline_type(self._client, each) for each in found["pipelines"]]

    def _shown(self) -> dict[str, Any]:
        document = self._document
        return {
            "name": self.name(),
            "id": self.id(),
            "archived": document["archived"],
            "created_by": document["created_by"],
            "created_at": document["created_at"],
            "models": self.models(),
            "pipelines": self.pipelines(),
        }

    def __repr__(self) -> str:
        return str(self._shown())

    def _repr_html_(self) -> str:
        return table_of(self._shown())
