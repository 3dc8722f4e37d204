"""Lists that notebooks show as tables."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from trivet.sdk import tables

if TYPE_CHECKING:
    from trivet.sdk.model import ModelVersion
    from trivet.sdk.pipeline import Pipeline
    from trivet.sdk.workspace import Workspace

__all__ = ["ModelVersionList", "PipelineList", "Shown", "WorkspaceList"]

T = TypeVar("T")


class Shown(list[T], ABC):
    """A list that a notebook shows as a table, and that says in words that it is empty."""

    empty: ClassVar[str] = "(none)"

    @staticmethod
    @abstractmethod
    def row(thing: Any) -> Mapping[str, Any]:
        """One thing's row: column by column."""

    def __repr__(self) -> str:
        return super().__repr__() if self else self.empty

    def _repr_html_(self) -> str:
        return tables.grid((self.row(each) for each in self), empty=self.empty)


class ModelVersionList(Shown["ModelVersion"]):
    """Model versions."""

    empty = "(no model versions)"

    @staticmethod
    def row(thing: "ModelVersion") -> dict[str, Any]:
        """A version's row, without asking the platform again."""
        said = thing.document()
        return {
            "Name": thing.name(),
            "Number": thing.number,
            "Version": thing.version(),
            "Status": said["status"],
            "Framework": thing.framework(),
            "File Name": thing.file_name(),
            "Last Update Time": thing.last_update_time(),
        }


class PipelineList(Shown["Pipeline"]):
    """Pipelines."""

    empty = "(no pipelines)"

    @staticmethod
    def row(thing: "Pipeline") -> dict[str, Any]:
        """A pipeline's row."""
        return thing._shown()  # noqa: SLF001


class WorkspaceList(Shown["Workspace"]):
    """Workspaces."""

    empty = "(no workspaces)"

    @staticmethod
    def row(thing: "Workspace") -> dict[str, Any]:
        """A workspace's row."""
        return {"ID": thing.id(), "Name": thing.name(), "Created At": thing._document["created_at"]}  # noqa: SLF001
