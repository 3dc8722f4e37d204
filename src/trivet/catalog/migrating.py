"""Migrate a database of an earlier release, or an empty one, to this release."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.engine import Engine

from trivet.catalog.connecting import MIGRATING, WRITING
from trivet.catalog.errors import database_error
from trivet.errors import Conflict, Unsupported

__all__ = ["HEAD", "VERSION_TABLE", "migrate", "revisions"]

HEAD = "0003"
"""The revision that this release works with."""

VERSION_TABLE = "catalog_version"

MIGRATIONS = Path(__file__).parent / "migrations"

OLDEST_POSTGRES = 15

_LOCK = 0x7472697665740001
"""A PostgreSQL lock that is held during a migration. An arbitrary number that other programs hardly use."""


def revisions() -> list[str]:
    """All revisions that this release knows, the oldest first."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def migrate(engine: Engine, *, to: str = HEAD, secret: str | None = None) -> None:
    """Bring the tables to a revision, all in one transaction. Two processes may do this at once: the second waits.

    Raises:
        Conflict: a newer release's database.
        Unsupported: a PostgreSQL that is too old.
        Unavailable: it cannot be reached or written, or holds other tables of the same names.
    """
    try:
        with engine.connect() as connection:
            _check_server(connection)
            if _is_current(connection, to):
                return
        options = {WRITING: True, MIGRATING: True}
        with engine.connect().execution_options(**options) as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            if not _is_current(connection, to):
                _upgrade(connection, to)
        # Its connection waits longer for locks than others may.
        engine.dispose()
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise database_error(error, secret=secret) from error


def _is_current(connection: sa.Connection, to: str) -> bool:
    """Whether there is nothing to migrate."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return False
    current = connection.execute(sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE))).scalar()
    known = revisions()
    if current is not None and current not in known:
        raise Conflict(
            "the catalog was written by a newer release of Trivet",
            why=f"its database is at revision {current}, and this release knows revisions up to {known[-1]}",
            fix="run that release or a newer one, or restore a backup from before the upgrade; nothing was changed",
            reason="newer_database",
        )
    return bool(current == to)


def _check_server(connection: sa.Connection) -> None:
    version = connection.dialect.server_version_info or ()
    if connection.dialect.name == "postgresql" and version[:1] < (OLDEST_POSTGRES,):
        raise Unsupported(
            f"PostgreSQL {'.'.join(map(str, version))} is too old for the catalog",
            fix=f"use PostgreSQL {OLDEST_POSTGRES} or newer",
        )


def _upgrade(connection: sa.Connection, to: str) -> None:
    # Imported here, because most starts need no migration and are faster without this import.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)

    def steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs(to, revision)  # noqa: SLF001 - what `alembic.command.upgrade` does itself

    with EnvironmentContext(config, script, fn=steps, destination_rev=to) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE, render_as_batch=True)
        environment.run_migrations()
