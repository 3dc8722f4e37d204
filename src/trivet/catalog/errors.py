"""A database's errors as Trivet's errors. Every constraint that can fail has its text here."""

import re
import sqlite3
from typing import Final

import sqlalchemy.exc

from trivet.errors import Conflict, Internal, NotFound, TrivetError, Unavailable

__all__ = ["database_error", "read_only_error"]

_TAKEN: Final = {
    "uq_workspaces_name": "a workspace of that name exists",
    "uq_models_workspace_id_name": "a model of that name exists",
    "uq_pipelines_workspace_id_name": "a pipeline of that name exists",
    "uq_deployments_pipeline_id": "the pipeline is deployed already",
}
"""What each unique constraint means to a caller; the others never fail."""

_SQLITE_UNIQUE: Final = re.compile(r"UNIQUE constraint failed: (?P<columns>.+)")
_READ_ONLY = "the catalog is read-only"
_FULL = "the catalog cannot grow: the disk is full"
_UNREACHABLE = "the catalog cannot be reached"
_BUSY = "the catalog is busy"

_SQLITE: Final[dict[int, tuple[str, str, str]]] = {
    sqlite3.SQLITE_READONLY: (
        _READ_ONLY,
        "allow Trivet to write the database file and its folder",
        "read_only",
    ),
    sqlite3.SQLITE_PERM: (_READ_ONLY, "allow Trivet to write the database file and its folder", "read_only"),
    sqlite3.SQLITE_FULL: (_FULL, "free space on the disk, then try again; nothing was changed", "disk_full"),
    sqlite3.SQLITE_BUSY: (
        _BUSY,
        "try again; if it lasts, find out which other program keeps the database file open",
        "busy",
    ),
    sqlite3.SQLITE_LOCKED: (_BUSY, "try again", "busy"),
    sqlite3.SQLITE_CORRUPT: ("the catalog is damaged", "restore the database file from a backup", "damaged"),
    sqlite3.SQLITE_NOTADB: (
        "the catalog's file is not a database",
        "restore the database file from a backup",
        "damaged",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        _UNREACHABLE,
        "check that the database file's folder exists and can be read",
        "unreachable",
    ),
    sqlite3.SQLITE_IOERR: (_UNREACHABLE, "check the disk of the database file", "unreachable"),
    sqlite3.SQLITE_AUTH: (_UNREACHABLE, "allow Trivet to read the database file", "unreachable"),
}

_POSTGRES: Final[dict[str, tuple[str, str, str]]] = {
    "25006": (
        _READ_ONLY,
        "the server is a standby, or was set read-only: name the primary in the database URL",
        "read_only",
    ),
    "53100": (_FULL, "free space on the database server's disk, then try again; nothing was changed", "disk_full"),
    "53200": (_BUSY, "the database server is out of memory; try again", "busy"),
    "53300": (_BUSY, "the database server takes no more connections; raise its max_connections", "busy"),
    "55P03": (_BUSY, "try again; if it lasts, find out which client holds locks in the database", "busy"),
    "57014": (_BUSY, "try again; if it lasts, check the database server", "busy"),
    "40001": (_BUSY, "try again", "busy"),
    "40P01": (_BUSY, "try again", "busy"),
    "25P03": (_BUSY, "try again", "busy"),
    "28000": (_UNREACHABLE, "check user and password in the database URL", "unreachable"),
    "28P01": (_UNREACHABLE, "check user and password in the database URL", "unreachable"),
    "55000": (_UNREACHABLE, "check that the database accepts connections", "unreachable"),
    "3D000": (_UNREACHABLE, "create the database, or name another one in the database URL", "unreachable"),
    "42501": (
        "access to the catalog is denied",
        "grant the database user the right to create and change tables",
        "forbidden",
    ),
    "42P07": (
        "the database holds tables that are not the catalog's",
        "give Trivet a database of its own",
        "unreachable",
    ),
}


def database_error(error: Exception, *, secret: str | None = None) -> TrivetError:
    """A database's error as one of Trivet's.

    Args:
        error: of SQLAlchemy, or of a driver.
        secret: the password, which no error shows.
    """
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return Unavailable(_BUSY, why="all connections are in use", fix="try again", reason="busy")
    original = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None else error
    why = " ".join(str(original).split()) or type(original).__name__
    if secret:
        why = why.replace(secret, "***")
    if isinstance(original, sqlite3.Error):
        return _of_sqlite(original, why)
    return _of_postgres(original, why)


def read_only_error() -> Unavailable:
    """The error for a PostgreSQL server that takes no writes."""
    what, fix, reason = _POSTGRES["25006"]
    return Unavailable(what, fix=fix, reason=reason)


def _of_sqlite(error: sqlite3.Error, why: str) -> TrivetError:
    code = getattr(error, "sqlite_errorcode", None)
    if unique := _SQLITE_UNIQUE.search(why):
        tables, columns = zip(*(column.strip().split(".") for column in unique["columns"].split(",")), strict=True)
        return _taken(f"uq_{tables[0]}_{'_'.join(columns)}", why)
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return _deleted(why)
    if code is not None and (known := _SQLITE.get(code & 0xFF)):
        what, fix, reason = known
        return Unavailable(what, why=why, fix=fix, reason=reason)
    return _unexpected(why)


def _of_postgres(error: BaseException, why: str) -> TrivetError:
    state = getattr(error, "sqlstate", None)
    if state == "23505":
        return _taken(getattr(getattr(error, "diag", None), "constraint_name", None) or "", why)
    if state == "23503":
        return _deleted(why)
    if state in _POSTGRES:
        what, fix, reason = _POSTGRES[state]
        return Unavailable(what, why=why, fix=fix, reason=reason)
    # No state: the connection failed; 08: connection; 57P: the server starts or stops.
    if state is None or state[:2] in {"08", "28"} or state[:3] == "57P":
        fix = "check that the database server runs and that the database URL names it"
        return Unavailable(_UNREACHABLE, why=why, fix=fix, reason="unreachable")
    if state[:2] in {"53", "58"}:
        return Unavailable(_BUSY, why=why, fix="check the database server", reason="busy")
    return _unexpected(why)


def _taken(constraint: str, why: str) -> TrivetError:
    if constraint in _TAKEN:
        return Conflict(_TAKEN[constraint], fix="choose another name, or use the existing one", reason="name_taken")
    return _unexpected(why)


def _deleted(why: str) -> TrivetError:
    return NotFound("the owner of this row was deleted", why=why, fix="look at what is there now, then try again")


def _unexpected(why: str) -> TrivetError:
    return Internal("the catalog refused a statement", why=why)
