"""Transactions: reading one consistent state, or writing, which increments the revision."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.engine import Engine

from trivet.catalog.connecting import WRITING, connect, prepare, read_url
from trivet.catalog.errors import database_error, read_only_error
from trivet.catalog.migrating import migrate
from trivet.catalog.tables import catalog_state
from trivet.errors import TrivetError, Unavailable

__all__ = ["Database", "Unchanged"]

QUEUE_LIMIT_S: Final = 10.0
RETRY_S: Final = 1.0
"""After a failed attempt to open the database, the same error is raised for this long."""


class Unchanged(Exception):
    """Raised inside `writing` to roll back all changes, including the revision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """An open database.

    Attributes:
        secret: the password, which no error shows.
        file: SQLite's file and its identity when it was opened; None for PostgreSQL.
    """

    engine: Engine
    readers: Engine
    writers: Engine
    secret: str | None
    file: tuple[Path, tuple[int, int] | None] | None


class Database:
    """A catalog's database, opened on the first transaction. Thread-safe.

    Opening creates the tables, or migrates them to this release, if needed.

    Args:
        url: as `open_catalog` takes it.
        now: the time, in UTC.
    """

    def __init__(self, url: str, *, now: Callable[[], datetime]) -> None:
        self.now = now
        self._url = url
        self._opening = threading.Lock()
        self._opened: Opened | None = None
        self._failure: TrivetError | None = None
        self._failed_at = float("-inf")
        # Writers of this process queue here, in turn, rather than poll for SQLite's lock.
        self._turn = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The engine of the database, opened now if it is not open yet."""
        return self.opened().engine

    def close(self) -> None:
        """Close all connections."""
        if self._opened is not None:
            self._opened.engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads.

        Raises:
            Unavailable: the database cannot be reached, or is too busy.
        """
        database = self.opened()
        with _translated(database), database.readers.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A write transaction. It first increments the revision, so that all writers queue there.

        Raises:
            Unavailable: the database cannot be reached or written, or is too busy. Nothing was changed.
            Conflict, NotFound: a constraint does not hold. Nothing was changed.
        """
        database = self.opened()
        with (
            contextlib.suppress(Unchanged),
            self._in_turn(database),
            _translated(database),
            database.writers.begin() as connection,
        ):
            connection.execute(catalog_state.update().values(revision=catalog_state.c.revision + 1))
            yield connection

    def check_writable(self) -> None:
        """See `Catalog.check_writable`."""
        if self.opened().file is not None:
            # A write that is undone. Another writer of this process needs no proof.
            if not self._turn.locked():
                with self.writing():
                    raise Unchanged
            return
        with self.reading() as connection:
            if connection.exec_driver_sql("SELECT current_setting('transaction_read_only')").scalar_one() == "on":
                raise read_only_error()

    def opened(self) -> Opened:
        """The database, opened now if it is not open yet.

        Raises:
            TrivetError: as `open_catalog` does.
        """
        if self._opened is not None:
            return self._opened
        with self._opening:
            if self._opened is None:
                if self._failure is not None and time.monotonic() - self._failed_at < RETRY_S:
                    raise self._failure
                try:
                    self._opened = _open(self._url)
                except TrivetError as error:
                    self._failure, self._failed_at = error, time.monotonic()
                    raise
            return self._opened

    @contextlib.contextmanager
    def _in_turn(self, database: Opened) -> Iterator[None]:
        if database.file is None:
            yield
            return
        if not self._turn.acquire(timeout=QUEUE_LIMIT_S):
            raise Unavailable("the catalog is busy", why="many writers are waiting", fix="try again", reason="busy")
        try:
            path, identity = database.file
            if _identity(path) != identity:
                raise Unavailable(
                    "the catalog's database file is gone",
                    why=f"{path} was removed or replaced while it was open",
                    fix="put it back, or restore a backup, and start the platform again",
                    reason="file_replaced",
                )
            yield
        finally:
            self._turn.release()


def _open(url: str) -> Opened:
    parts = read_url(url)
    secret = str(parts.password) if parts.password else None
    engine = connect(parts)
    try:
        prepare(engine, secret=secret)
        migrate(engine, secret=secret)
        path = Path(parts.database or "") if engine.dialect.name == "sqlite" else None
        return Opened(
            engine=engine,
            # All statements of a read transaction see the same state. SQLite does this by default.
            readers=engine if path is not None else engine.execution_options(isolation_level="REPEATABLE READ"),
            writers=engine.execution_options(**{WRITING: True}),
            secret=secret,
            file=None if path is None else (path, _identity(path)),
        )
    except BaseException:
        engine.dispose()
        raise


@contextlib.contextmanager
def _translated(database: Opened) -> Iterator[None]:
    try:
        yield
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise database_error(error, secret=database.secret) from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - ten times as fast, and done at each write
    except OSError:
        return None
    return status.st_dev, status.st_ino
