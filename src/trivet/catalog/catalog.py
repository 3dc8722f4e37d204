"""The catalog as one thing, and how it is opened."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa

from trivet.catalog.connecting import connect, prepare, read_url
from trivet.catalog.database import Database
from trivet.catalog.deployments import Deployments
from trivet.catalog.journal import Journal
from trivet.catalog.migrating import migrate
from trivet.catalog.models import Models
from trivet.catalog.pipelines import Pipelines
from trivet.catalog.tables import catalog_state
from trivet.catalog.workspaces import Workspaces

__all__ = ["Catalog", "open_catalog"]


class Catalog(Workspaces, Models, Pipelines, Deployments, Journal):
    """What exists, and what is wanted. Every method is one short transaction; all are synchronous and thread-safe.

    Beside what its methods say, each raises `Unavailable` when the database cannot be reached, is read-only, is full, or is
    too busy. Then nothing was changed, except that a commit whose answer was lost may have happened.
    """

    @property
    def database(self) -> Literal["sqlite", "postgresql"]:
        """What holds it."""
        return "sqlite" if self._database.engine.dialect.name == "sqlite" else "postgresql"

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def revision(self) -> int:
        """A number that every write, by whichever process, makes larger."""
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(catalog_state.c.revision)).scalar_one())


def _now() -> datetime:
    return datetime.now(UTC)


def open_catalog(url: str, *, now: Callable[[], datetime] = _now) -> Catalog:
    """The catalog in a database, which is made, or brought to this release's tables, where it has to be.

    Args:
        url: `sqlite:///PATH` (PATH taken literally) or `postgresql://USER:PASSWORD@HOST/DATABASE`.
        now: the time, in UTC.

    Raises:
        Invalid: the URL cannot be read. No error shows a password.
        Unsupported: psycopg is not installed, or the PostgreSQL server is too old.
        Conflict: a newer release of Trivet wrote the database.
        Unavailable: it cannot be reached, or not be written though it must be.
    """
    parts = read_url(url)
    secret = str(parts.password) if parts.password else None
    engine = connect(parts)
    try:
        prepare(engine, secret=secret)
        migrate(engine, secret=secret)
        return Catalog(Database(engine, url=parts, now=now))
    except BaseException:
        engine.dispose()
        raise
