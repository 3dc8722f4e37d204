"""Inspect a database without changing it."""

from pathlib import Path

import sqlalchemy as sa
import sqlalchemy.exc

from trivet.catalog.connecting import connect, read_url
from trivet.catalog.errors import database_error
from trivet.catalog.migrating import HEAD, VERSION_TABLE, revisions
from trivet.errors import Conflict, Unavailable

__all__ = ["inspect_catalog"]


def inspect_catalog(url: str) -> str:
    """Check that a catalog can be opened.

    Returns:
        A sentence about it.

    Raises:
        TrivetError: it cannot be opened, and why.
    """
    parts = read_url(url)
    if parts.get_backend_name() == "sqlite" and not Path(parts.database or "").exists():
        raise Unavailable(f"database file not found: {parts.database}", fix="check the path; `trivet up` creates it")
    engine = connect(parts)
    try:
        with engine.connect() as connection:
            name = "SQLite" if connection.dialect.name == "sqlite" else "PostgreSQL"
            if not sa.inspect(connection).has_table(VERSION_TABLE):
                return f"{name} answers; the catalog's tables do not exist yet, `trivet up` creates them"
            version = connection.execute(
                sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE))
            ).scalar()
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise database_error(error, secret=str(parts.password) if parts.password else None) from error
    finally:
        engine.dispose()
    if version == HEAD:
        return f"{name} answers; its tables are this release's"
    if version in revisions():
        return f"{name} answers; its tables are an earlier release's, and `trivet up` brings them up to date"
    raise Conflict(
        "the catalog was written by a newer release of Trivet",
        why=f"its database is at revision {version}, and this release knows revisions up to {HEAD}",
        fix="run that release or a newer one",
        reason="newer_database",
    )
