"""Use cases: the platform itself, and what happened on it."""

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from trivet import __version__
from trivet.control.context import Control
from trivet.domain.access import Action, Caller, check
from trivet.domain.events import Event

__all__ = ["NamedEvent", "PlatformFacts", "get_platform", "list_events"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformFacts:
    """Version, home, database, and the address for predictions."""

    version: str
    home: Path
    infer_url: str
    database: Literal["sqlite", "postgresql"]
    python: str


class NamedEvent(NamedTuple):
    """An event, and the name of the pipeline whose deployment it happened to."""

    event: Event
    pipeline: str | None


def get_platform(control: Control, caller: Caller) -> PlatformFacts:
    """What runs here."""
    check(caller, Action.VIEW)
    return PlatformFacts(
        version=__version__,
        home=control.settings.home,
        infer_url=control.infer_url,
        database=control.catalog.database,
        python=platform.python_version(),
    )


def list_events(
    control: Control, caller: Caller, *, workspace: str | None, after: int, limit: int, newest: bool = False
) -> list[NamedEvent]:
    """Events behind event `after`, the oldest first: the first of them, or the last; of one workspace, if one is named.

    Raises:
        NotFound: there is no such workspace.
    """
    check(caller, Action.VIEW, workspace)
    workspace_id = None if workspace is None else control.catalog.workspaces.get(workspace).id
    found = control.catalog.journal.events(after=after, limit=limit, workspace_id=workspace_id, newest=newest)
    pipelines: dict[str, str] = {}
    if any(event.subject == "deployment" for event in found):
        pipelines = {str(each.id): each.pipeline for each in control.catalog.deployments.all()}
    return [
        NamedEvent(event, pipelines.get(event.subject_id) if event.subject == "deployment" else None) for event in found
    ]
