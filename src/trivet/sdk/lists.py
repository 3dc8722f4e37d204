"""Lists and objects that notebooks show as HTML tables."""

import html
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from trivet.sdk.model import ModelVersion
    from trivet.sdk.pipeline import Pipeline
    from trivet.sdk.pipeline_state import PipelineVersion
    from trivet.sdk.workspace import Workspace

__all__ = [
    "ModelVersionList",
    "PipelineList",
    "PipelineVersionList",
    "Shown",
    "WorkspaceList",
    "shown_time",
    "table_of",
]

T = TypeVar("T")


class Shown(list[T], ABC):
    """A list that a notebook shows as a table, with a text for an empty one."""

    empty: ClassVar[str] = "(none)"

    @staticmethod
    @abstractmethod
    def row(thing: Any) -> Mapping[str, Any]:
        """One item's row, by column."""

    def __repr__(self) -> str:
        return super().__repr__() if self else self.empty

    def _repr_html_(self) -> str:
        return _grid((self.row(each) for each in self), empty=self.empty)


class ModelVersionList(Shown["ModelVersion"]):
    """Model versions."""

    empty = "(no model versions)"

    @staticmethod
    def row(thing: "ModelVersion") -> dict[str, Any]:
        """A version's row, without another request."""
        document = thing.document()
        return {
            "Name": thing.name(),
            "Number": thing.number,
            "Version": thing.version(),
            "Status": document["status"],
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


class PipelineVersionList(Shown["PipelineVersion"]):
    """The deploys of a pipeline."""

    empty = "(no pipeline versions)"

    @staticmethod
    def row(thing: "PipelineVersion") -> dict[str, Any]:
        """A version's row."""
        return thing._shown()  # noqa: SLF001


class WorkspaceList(Shown["Workspace"]):
    """Workspaces."""

    empty = "(no workspaces)"

    @staticmethod
    def row(thing: "Workspace") -> dict[str, Any]:
        """A workspace's row."""
        return {"ID": thing.id(), "Name": thing.name(), "Created At": thing._document["created_at"]}  # noqa: SLF001


def table_of(values: Mapping[str, Any]) -> str:
    """A table with a row for each value."""
    body = "".join(f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in values.items())
    return f"<table><tr><th>Field</th><th>Value</th></tr>{body}</table>"


def _grid(found: Iterable[Mapping[str, Any]], *, empty: str) -> str:
    """A table with a row for each thing, or a text if there is none."""
    things = list(found)
    if not things:
        return _text(empty)
    head = "".join(f"<th>{_text(name)}</th>" for name in things[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(value)}</td>" for value in thing.values()) + "</tr>" for thing in things
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def shown_time(moment: datetime) -> str:
    """`2024-22-Jul 20:45:56`, in the reference's form."""
    return moment.strftime("%Y-%d-%b %H:%M:%S")


def _text(value: Any) -> str:
    return html.escape(str(value))
