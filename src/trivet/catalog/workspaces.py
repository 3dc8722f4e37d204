"""The catalog's workspaces."""

import sqlalchemy as sa

from trivet.catalog.database import Database
from trivet.catalog.find import find_workspace
from trivet.catalog.rows import plain
from trivet.catalog.tables import workspaces
from trivet.domain.version import Workspace

__all__ = ["Workspaces"]


class Workspaces:
    """The workspaces in the catalog. Number 1, `default`, exists from the start."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, *, created_by: str) -> Workspace:
        """Create a workspace.

        Raises:
            Conflict: the name is taken.
        """
        values = {"name": name, "archived": False, "created_by": plain(created_by), "created_at": self._database.now()}
        with self._database.writing() as connection:
            made = connection.execute(workspaces.insert().values(values).returning(workspaces)).one()
        return Workspace(**made._asdict())

    def get(self, id_or_name: int | str) -> Workspace:
        """A workspace by its number or its name.

        Raises:
            NotFound: it does not exist; the error proposes the nearest name.
        """
        with self._database.reading() as connection:
            return Workspace(**find_workspace(connection, id_or_name)._asdict())

    def all(self) -> list[Workspace]:
        """All workspaces, the oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(workspaces).order_by(workspaces.c.id)).all()
        return [Workspace(**row._asdict()) for row in rows]
