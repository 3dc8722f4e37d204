"""A database URL becomes an engine: SQLite in a file, or PostgreSQL."""

import importlib.util
import os
import sqlite3
import time
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine
from sqlalchemy.pool import ConnectionPoolEntry

from trivet.catalog.errors import database_error
from trivet.errors import Invalid, Unavailable, Unsupported

__all__ = ["MIGRATING", "WRITING", "connect", "prepare", "read_url"]

WRITING: Final = "trivet_writing"
"""Execution option of a connection whose transactions will write."""

MIGRATING: Final = "trivet_migrating"
"""Execution option of a connection whose transactions may wait long for others that migrate too."""

BUSY_MS: Final = 5_000
MIGRATION_BUSY_MS: Final = 120_000
STATEMENT_LIMIT_MS: Final = 15_000

POSTGRES_DEFAULTS: Final = {"connect_timeout": "5", "tcp_user_timeout": "15000", "keepalives_idle": "15"}
"""libpq's parameters unless the URL sets them: a server that disappears is noticed within seconds."""


def read_url(text: str) -> URL:
    """The parts of a database URL.

    Raises:
        Invalid: it is not a URL, or the database is not supported. The error never shows a password.
        Unsupported: the driver is not installed.
    """
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if colon and scheme == "sqlite":
        # A path is taken literally, whatever characters it has.
        path = rest.removeprefix("///")
        if not rest.startswith("///") or path in {"", ":memory:"}:
            raise Invalid("the catalog's database URL does not name a file", fix="sqlite:////an/absolute/path.db")
        return URL.create("sqlite+pysqlite", database=str(Path(path).absolute()))
    known = ("sqlite", "postgresql", "postgresql+psycopg", "postgres")
    if scheme not in known or not colon:
        close = get_close_matches(scheme, known, n=1) if colon else []
        hint = f"did you mean {close[0]}://? " if close else ""
        raise Invalid(
            "this is not a database URL for the catalog",
            why=f"it begins with {scheme[:20]!r}" if colon else "it has no scheme",
            fix=f"{hint}sqlite:///PATH and postgresql://USER:PASSWORD@HOST/DATABASE are possible",
        )
    try:
        url = sa.make_url(text)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # Its text might repeat the password.
        raise Invalid(
            "the catalog's database URL cannot be read",
            fix="postgresql://USER:PASSWORD@HOST:PORT/DATABASE; in user and password write @ as %40, : as %3A, / as %2F",
        ) from None
    if importlib.util.find_spec("psycopg") is None:
        raise Unsupported("PostgreSQL needs a driver that is not installed", fix="pip install 'trivet[postgres]'")
    return url.set(drivername="postgresql+psycopg")


def connect(url: URL) -> Engine:
    """An engine for a database. SQLite's file is created, readable for its owner only.

    Raises:
        Unavailable: SQLite's file cannot be created.
    """
    return _sqlite(url) if url.get_backend_name() == "sqlite" else _postgres(url)


def _sqlite(url: URL) -> Engine:
    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise Unavailable(
            "the catalog cannot be reached", why=str(error), fix="check that its folder can be written"
        ) from error
    engine = sa.create_engine(url, pool_size=4, max_overflow=28, pool_timeout=10, hide_parameters=True)
    event.listen(engine, "connect", _on_sqlite_connect)
    event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _on_sqlite_connect(connection: Any, _entry: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions: `_on_sqlite_begin` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    cursor.execute("PRAGMA foreign_keys = ON")
    # Committed data survives a power cut.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _on_sqlite_begin(connection: sa.Connection) -> None:
    options: Mapping[str, Any] = connection.get_execution_options()
    if options.get(MIGRATING):
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {MIGRATION_BUSY_MS}")
    # One that reads first and writes later would fail if another connection wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITING) else "BEGIN")


def _postgres(url: URL) -> Engine:
    defaults = {name: value for name, value in POSTGRES_DEFAULTS.items() if name not in url.query}
    engine = sa.create_engine(
        url,
        connect_args={**defaults, "application_name": "trivet"} if "application_name" not in url.query else defaults,
        pool_size=4,
        max_overflow=12,
        pool_timeout=10,
        # After a restart of the server, connections are made again without an error.
        pool_pre_ping=True,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _on_postgres_connect)
    return engine


def _on_postgres_connect(connection: Any, _entry: ConnectionPoolEntry) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = {STATEMENT_LIMIT_MS}")
        cursor.execute(f"SET lock_timeout = {BUSY_MS}")
        cursor.execute(f"SET idle_in_transaction_session_timeout = {STATEMENT_LIMIT_MS}")
        cursor.execute("SET timezone = 'UTC'")
    connection.commit()


def prepare(engine: Engine, *, secret: str | None) -> None:
    """Switch SQLite to its write-ahead log, where readers and the writer do not wait for one another."""
    if engine.dialect.name != "sqlite":
        return
    try:
        with engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            _write_ahead(raw)
            connection.invalidate()
    except Exception as error:
        raise database_error(error, secret=secret) from error


def _write_ahead(raw: sqlite3.Connection) -> None:
    deadline = time.monotonic() + MIGRATION_BUSY_MS / 1000
    while raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            raw.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # Of two connections that switch a file at once, each holds a lock that the other waits for. SQLite then refuses one at once.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
