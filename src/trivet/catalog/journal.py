"""The catalog's upload logs and events."""

import sqlalchemy as sa

from trivet.catalog.database import Database
from trivet.catalog.rows import plain
from trivet.catalog.tables import events, upload_log
from trivet.domain.events import Event, UploadLogLine

__all__ = ["EVENTS_KEPT", "Journal"]

EVENTS_KEPT = 10_000
TEXT_LIMIT = 65_536


class Journal:
    """The upload logs and events in the catalog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def log_upload(self, version_id: int, *, level: str, stage: str, text: str) -> None:
        """Add a line to a version's upload log.

        Raises:
            NotFound: the version was deleted meanwhile.
        """
        line = {"level": plain(level), "stage": plain(stage), "text": plain(text)[:TEXT_LIMIT]}
        with self._database.writing() as connection:
            connection.execute(upload_log.insert().values(version_id=version_id, at=self._database.now(), **line))

    def upload_logs(self, version_id: int, *, after: int = 0) -> list[UploadLogLine]:
        """The lines of a version's upload log after line `after`, the oldest first."""
        query = (
            sa.select(upload_log.c.id, upload_log.c.at, upload_log.c.level, upload_log.c.stage, upload_log.c.text)
            .where(upload_log.c.version_id == version_id, upload_log.c.id > after)
            .order_by(upload_log.c.id)
        )
        with self._database.reading() as connection:
            return [UploadLogLine(**row._asdict()) for row in connection.execute(query)]

    def add_event(self, *, workspace_id: int | None, subject: str, subject_id: int | str, kind: str, text: str) -> None:
        """Add an event. The newest 10,000 are kept."""
        event = {
            "at": self._database.now(),
            "workspace_id": workspace_id,
            "subject": plain(subject),
            "subject_id": plain(str(subject_id)),
            "kind": plain(kind),
            "text": plain(text)[:TEXT_LIMIT],
        }
        with self._database.writing() as connection:
            number = connection.execute(events.insert().values(event).returning(events.c.id)).scalar_one()
            connection.execute(events.delete().where(events.c.id <= number - EVENTS_KEPT))

    def events(
        self, *, after: int = 0, limit: int = 100, workspace_id: int | None = None, newest: bool = False
    ) -> list[Event]:
        """At most `limit` events after event `after`, the oldest first: the first of them, or the last; of one workspace, if given."""
        order = events.c.id.desc() if newest else events.c.id
        query = sa.select(events).where(events.c.id > after).order_by(order).limit(limit)
        if workspace_id is not None:
            query = query.where(events.c.workspace_id == workspace_id)
        with self._database.reading() as connection:
            found = [Event(**row._asdict()) for row in connection.execute(query)]
        return found[::-1] if newest else found
