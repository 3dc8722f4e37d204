"""Models: names under which versions are uploaded."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from trivet.sdk import operations
from trivet.sdk.calls import Platform
from wallaroo.lists import Shown
from wallaroo.model_version import ModelVersion, ModelVersionList

__all__ = ["Model", "ModelList", "ModelVersion"]


class Model(dict[str, Any]):
    """A model: printed as a dictionary, used as an object."""

    def __init__(self, client: Platform, document: Mapping[str, Any]) -> None:
        super().__init__(
            name=document["name"],
            versions=document["versions"],
            owner_id='""',
            last_update_time=datetime.fromisoformat(document["updated_at"]),
            created_at=datetime.fromisoformat(document["created_at"]),
        )
        self._client = client
        self._document = document

    def id(self) -> int:
        """Its number among all models."""
        return int(self._document["id"])

    def name(self) -> str:
        """Its name."""
        return str(self["name"])

    def owner_id(self) -> str:
        """Its owner; there are no users yet."""
        return str(self["owner_id"])

    def created_at(self) -> datetime:
        """When its first version was uploaded."""
        moment: datetime = self["created_at"]
        return moment

    def last_update_time(self) -> datetime:
        """When its newest version was uploaded."""
        moment: datetime = self["last_update_time"]
        return moment

    def versions(self) -> ModelVersionList:
        """Its versions, the newest first."""
        found = self._client.run(
            operations.call(
                "GET", f"/v1/models/{self.name()}/versions", query={"workspace": self._document["workspace"]}
            )
        )
        return ModelVersionList(ModelVersion(self._client, each) for each in found["versions"])


class ModelList(Shown[dict[str, Any]]):
    """Models, shown as a table."""

    empty = "(no models)"

    @staticmethod
    def row(thing: Mapping[str, Any]) -> dict[str, Any]:
        """A model's row."""
        return {
            "Name": thing["name"],
            "# of Versions": thing["versions"],
            "Owner ID": thing["owner_id"],
            "Last Updated": thing["last_update_time"],
            "Created At": thing["created_at"],
        }
