"""Lines of an upload's log, and events."""

from datetime import datetime

import msgspec

__all__ = ["Event", "UploadLogLine"]


class UploadLogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line about the loading of a model version.

    Attributes:
        id: grows from line to line.
        level: `info`, `warning` or `error`.
        stage: the stage of the load.
    """

    id: int
    at: datetime
    level: str
    stage: str
    text: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a model version, a pipeline, a deployment.

    Attributes:
        id: grows from event to event.
        workspace_id: None if it belongs to no workspace.
        subject: the kind of thing it happened to: `version`, `deployment`.
        subject_id: its id.
        kind: a slug that programs can compare.
        text: for people.
    """

    id: int
    at: datetime
    workspace_id: int | None
    subject: str
    subject_id: str
    kind: str
    text: str
