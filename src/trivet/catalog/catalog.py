"""The catalog, and the function that opens it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa

from trivet.catalog.database import Database
from trivet.catalog.deployments import Deployments
from trivet.catalog.journal import Journal
from trivet.catalog.models import Models
from trivet.catalog.pipelines import Pipelines
from trivet.catalog.tables import catalog_state
from trivet.catalog.tags import Tags
from trivet.catalog.workspaces import Workspaces

__all__ = ["Catalog", "open_catalog"]


def _now() -> datetime:
    return datetime.now(UTC)


class Catalog:
    """The stored objects and the desired state. Every method of a part is one short transaction, synchronous and thread-safe.

    The database is opened on the first call, if `open_catalog` has not opened it. Until it can be opened, every method raises
    what `open_catalog` raises.

    Besides what its methods document, each raises `Unavailable` when the database cannot be reached, is read-only, is full, or
    is too busy. Then nothing was changed, except that a commit whose answer was lost may have happened.

    Args:
        url: `sqlite:///PATH` (PATH taken literally) or `postgresql://USER:PASSWORD@HOST/DATABASE`.
        now: the time, in UTC.
    """

    def __init__(self, url: str, *, now: Callable[[], datetime] = _now) -> None:
        self._database = Database(url, now=now)
        self.workspaces = Workspaces(self._database)
        self.models = Models(self._database)
        self.pipelines = Pipelines(self._database)
        self.deployments = Deployments(self._database)
        self.tags = Tags(self._database)
        self.journal = Journal(self._database)

    @property
    def database(self) -> Literal["sqlite", "postgresql"]:
        """The kind of database."""
        return "sqlite" if self._database.engine.dialect.name == "sqlite" else "postgresql"

    def open(self) -> None:
        """Open the database now, rather than on the first call.

        Raises:
            TrivetError: as `open_catalog` does.
        """
        self._database.opened()

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def revision(self) -> int:
        """A number that every write of any process increments."""
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(catalog_state.c.revision)).scalar_one())

    def check_writable(self) -> None:
        """Check that the database takes writes; nothing is changed.

        Raises:
            Unavailable: the database is read-only, or cannot be reached.
        """
        self._database.check_writable()


def open_catalog(url: str, *, now: Callable[[], datetime] = _now) -> Catalog:
    """The catalog in a database; its tables are created, or migrated to this release, if needed.

    Args:
        url: as for `Catalog`.
        now: the time, in UTC.

    Raises:
        Invalid: the URL cannot be read. No error shows a password.
        Unsupported: psycopg is not installed, or the PostgreSQL server is too old.
        Conflict: a newer release of Trivet wrote the database.
        Unavailable: the database cannot be reached, or cannot be written though it must be.
    """
    catalog = Catalog(url, now=now)
    catalog.open()
    return catalog
