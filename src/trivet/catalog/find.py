"""Find one thing by name or number, or propose the nearest name."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa

from trivet.catalog.tables import models, pipelines, workspaces
from trivet.errors import NotFound

__all__ = ["find_model", "find_pipeline", "find_workspace", "is_id", "nearest"]

LARGEST_ID = 2**63 - 1


def is_id(number: int) -> bool:
    """Whether a number can be an id."""
    return 0 < number <= LARGEST_ID


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A question that proposes the known name most like it, or None."""
    known = list(known)
    close = get_close_matches(name, known, n=1) or get_close_matches(name.lower(), known, n=1)
    return f"did you mean {close[0]!r}?" if close else None


def find_workspace(connection: sa.Connection, id_or_name: int | str) -> sa.Row[Any]:
    """The workspace's row.

    Raises:
        NotFound: it does not exist.
    """
    row = None
    if isinstance(id_or_name, str):
        row = connection.execute(sa.select(workspaces).where(workspaces.c.name == id_or_name)).first()
    elif is_id(id_or_name):
        row = connection.execute(sa.select(workspaces).where(workspaces.c.id == id_or_name)).first()
    if row is not None:
        return row
    if isinstance(id_or_name, int):
        raise NotFound(f"Workspace with id {id_or_name} does not exist", reason="unknown_workspace")
    hint = nearest(id_or_name, connection.execute(sa.select(workspaces.c.name)).scalars())
    create = "If you would like to create one, send in the request with `create_if_not_exist` flag set to True."
    raise NotFound(
        f"Workspace with name {id_or_name} does not exist",
        fix=f"{hint} {create}" if hint else create,
        reason="unknown_workspace",
    )


def find_model(connection: sa.Connection, workspace_id: int, name: str) -> sa.Row[Any]:
    """The model's row.

    Raises:
        NotFound: it does not exist.
    """
    return _named(connection, models, workspace_id, name, what=f"A model with the name {name} does not exist")


def find_pipeline(connection: sa.Connection, workspace_id: int, name: str) -> sa.Row[Any]:
    """The pipeline's row.

    Raises:
        NotFound: it does not exist.
    """
    return _named(connection, pipelines, workspace_id, name, what=f"Pipeline {name} not found in this workspace")


def _named(connection: sa.Connection, table: sa.Table, workspace_id: int, name: str, *, what: str) -> sa.Row[Any]:
    here = table.c.workspace_id == workspace_id
    if is_id(workspace_id):
        row = connection.execute(sa.select(table).where(here, table.c.name == name)).first()
        if row is not None:
            return row
        find_workspace(connection, workspace_id)
        hint = nearest(name, connection.execute(sa.select(table.c.name).where(here)).scalars())
        raise NotFound(what, fix=hint, reason=f"unknown_{table.name.removesuffix('s')}")
    raise NotFound(f"Workspace with id {workspace_id} does not exist", reason="unknown_workspace")
