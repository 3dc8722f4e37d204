"""Tags of model versions and of pipelines."""

from collections.abc import Iterable, Mapping
from typing import Any

from trivet.sdk import operations
from trivet.sdk.calls import Platform
from wallaroo.lists import Shown

__all__ = ["Tag", "TagList", "tags_in", "texts_by_id"]


class Tag:
    """A text on model versions and pipelines, which searches find.

    Args:
        client: of its platform.
        document: the platform's.
    """

    def __init__(self, client: Platform, document: Mapping[str, Any]) -> None:
        self._client = client
        self._document = document

    def id(self) -> int:
        """Its number."""
        return int(self._document["id"])

    def tag(self) -> str:
        """Its text."""
        return str(self._document["tag"])

    def models(self) -> list[tuple[str, list[str]]]:
        """The names of models, each with the UUIDs of its versions that have the tag, as the tag was read."""
        found: dict[str, list[str]] = {}
        for each in self._document["models"]:
            found.setdefault(each["name"], []).append(each["uuid"])
        return list(found.items())

    def pipelines(self) -> list[str]:
        """The names of pipelines that have the tag, as the tag was read."""
        return [each["name"] for each in self._document["pipelines"]]

    def has(self, kind: str, number: int) -> bool:
        """Whether a model version (`models`) or a pipeline (`pipelines`) had it when the tag was read."""
        return number in {each["id"] for each in self._document[kind]}

    def add_to_model(self, model_id: int) -> dict[str, int]:
        """Tag a model version, given by `model.id()`."""
        self._change("PUT", "models", model_id)
        return {"model_id": model_id, "tag_id": self.id()}

    def remove_from_model(self, model_id: int) -> dict[str, int]:
        """Take the tag from a model version."""
        self._change("DELETE", "models", model_id)
        return {"model_id": model_id, "tag_id": self.id()}

    def add_to_pipeline(self, pipeline_id: int) -> dict[str, int]:
        """Tag a pipeline, given by `pipeline.id()`."""
        self._change("PUT", "pipelines", pipeline_id)
        return {"pipeline_pk_id": pipeline_id, "tag_pk_id": self.id()}

    def remove_from_pipeline(self, pipeline_id: int) -> dict[str, int]:
        """Take the tag from a pipeline."""
        self._change("DELETE", "pipelines", pipeline_id)
        return {"pipeline_pk_id": pipeline_id, "tag_pk_id": self.id()}

    def _change(self, method: str, kind: str, number: int) -> None:
        self._client.run(operations.call(method, f"/v1/tags/{self.id()}/{kind}/{int(number)}"))

    def __repr__(self) -> str:
        return str({"id": self.id(), "tag": self.tag(), "models": self.models(), "pipelines": self.pipelines()})


class TagList(Shown[Tag]):
    """Tags, shown as a table."""

    empty = "(no tags)"

    @staticmethod
    def row(thing: Tag) -> dict[str, Any]:
        """A tag's row."""
        return {"id": thing.id(), "tag": thing.tag(), "models": thing.models(), "pipelines": thing.pipelines()}


def tags_in(client: Platform) -> TagList:
    """All tags of a platform."""
    found = client.run(operations.call("GET", "/v1/tags"))
    return TagList(Tag(client, each) for each in found["tags"])


def texts_by_id(tags: Iterable[Tag], kind: str) -> dict[int, list[str]]:
    """The texts of the tags of each model version (`models`) or pipeline (`pipelines`), by its id."""
    texts: dict[int, list[str]] = {}
    for tag in tags:
        for each in tag._document[kind]:  # noqa: SLF001 - of this module
            texts.setdefault(each["id"], []).append(tag.tag())
    return texts
