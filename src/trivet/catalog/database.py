"""Transactions: reading one consistent state, or writing and being counted."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.engine import URL, Engine

from trivet.catalog.connecting import WRITING
from trivet.catalog.errors import trouble
from trivet.catalog.tables import catalog_state
from trivet.errors import Unavailable

__all__ = ["Database", "Unchanged"]

QUEUE_LIMIT_S = 10.0


class Unchanged(Exception):
    """Raised inside `writing` to leave everything, the revision too, as it was."""


class Database:
    """A connected catalog database. Thread-safe.

    Args:
        engine: made by `connect`, its tables there.
        url: what the engine was made from.
        now: the time, in UTC.
    """

    def __init__(self, engine: Engine, *, url: URL, now: Callable[[], datetime]) -> None:
        self.engine = engine
        self.now = now
        self._secret = str(url.password) if url.password else None
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._writers = engine.execution_options(**{WRITING: True})
        # All statements of a reading see the same state. SQLite's transactions do anyway.
        self._readers = engine if self._is_sqlite else engine.execution_options(isolation_level="REPEATABLE READ")
        # Writers of this process queue here, in turn, rather than poll for SQLite's lock.
        self._turn = threading.Lock()
        self._file = Path(url.database or "") if self._is_sqlite else None
        self._file_id = self._identity()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads.

        Raises:
            Unavailable: the database cannot be reached, or is too busy.
        """
        with self._translated(), self._readers.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes, alone: it begins by adding one to the revision, which makes all writers queue there.

        Raises:
            Unavailable: the database cannot be reached or written, or is too busy. Nothing was changed.
            Conflict, NotFound: a constraint does not hold. Nothing was changed.
        """
        with contextlib.suppress(Unchanged), self._in_turn(), self._translated(), self._writers.begin() as connection:
            connection.execute(catalog_state.update().values(revision=catalog_state.c.revision + 1))
            yield connection

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self._is_sqlite:
            yield
            return
        if not self._turn.acquire(timeout=QUEUE_LIMIT_S):
            raise Unavailable("the catalog is busy", why="many writers are waiting", fix="try again", reason="busy")
        try:
            if self._identity() != self._file_id:
                raise Unavailable(
                    "the catalog's database file is gone",
                    why=f"{self._file} was removed or replaced while it was open",
                    fix="put it back, or restore a backup, and start the platform again",
                    reason="file_replaced",
                )
            yield
        finally:
            self._turn.release()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise trouble(error, secret=self._secret) from error

    def _identity(self) -> tuple[int, int] | None:
        if self._file is None:
            return None
        try:
            status = os.stat(self._file)  # noqa: PTH116 - ten times as fast, and done at each write
        except OSError:
            return None
        return status.st_dev, status.st_ino
