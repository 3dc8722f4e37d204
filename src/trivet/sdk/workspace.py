"""Workspaces, as a user has them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from trivet.sdk import operations, tables
from trivet.sdk.pipeline import Pipeline
from trivet.sdk.platform import Platform

__all__ = ["Workspace"]


class _Client(Platform, Protocol):
    """A client, and what it makes pipelines of."""

    @property
    def pipeline_type(self) -> type[Pipeline]:
        """The class of its pipelines."""


class Workspace:
    """Who owns models and pipelines."""

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
        """Its models, as the reference shows them."""
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
        said = self._document
        return {
            "name": self.name(),
            "id": self.id(),
            "archived": said["archived"],
            "created_by": said["created_by"],
            "created_at": said["created_at"],
            "models": self.models(),
            "pipelines": self.pipelines(),
        }

    def __repr__(self) -> str:
        return str(self._shown())

    def _repr_html_(self) -> str:
        return tables.rows(self._shown())
