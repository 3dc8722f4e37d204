"""The catalog's tags."""

from typing import Any

import sqlalchemy as sa

from trivet.catalog.database import Database
from trivet.catalog.find import is_id
from trivet.catalog.tables import model_tags, model_versions, models, pipeline_tags, pipelines, tags
from trivet.domain.tags import MOST_OF_ONE, MOST_TAGS, Tag, Tagged
from trivet.errors import Conflict, NotFound

__all__ = ["Tags"]

_MODELS = (
    sa.select(model_tags.c.tag_id, model_versions.c.id, models.c.name, model_versions.c.uuid)
    .join_from(model_tags, model_versions, model_tags.c.version_id == model_versions.c.id)
    .join(models, models.c.id == model_versions.c.model_id)
    .order_by(model_versions.c.id)
)
_PIPELINES = (
    sa.select(pipeline_tags.c.tag_id, pipelines.c.id, pipelines.c.name)
    .join_from(pipeline_tags, pipelines, pipeline_tags.c.pipeline_id == pipelines.c.id)
    .order_by(pipelines.c.id)
)


class Tags:
    """The tags in the catalog, and what has them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Tag]:
        """All tags, the oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(tags.c.id, tags.c.tag).order_by(tags.c.id)).all()
            with_models = _by_tag(connection, _MODELS)
            with_pipelines = _by_tag(connection, _PIPELINES)
        return [
            Tag(id=row.id, tag=row.tag, models=with_models.get(row.id, ()), pipelines=with_pipelines.get(row.id, ()))
            for row in rows
        ]

    def create(self, text: str) -> int:
        """The id of a tag with this text, which is created if there is none.

        Raises:
            Conflict: there are too many tags.
        """
        with self._database.writing() as connection:
            known = connection.execute(sa.select(tags.c.id).where(tags.c.tag == text)).scalar()
            if known is not None:
                return int(known)
            if _count(connection, tags) >= MOST_TAGS:
                raise Conflict(f"there are {MOST_TAGS} tags, the most", fix="use one of them", reason="too_many_tags")
            values = {"tag": text, "created_at": self._database.now()}
            return int(connection.execute(tags.insert().values(values).returning(tags.c.id)).scalar_one())

    def add_to_model(self, tag_id: int, version_id: int) -> None:
        """Tag a model version; nothing changes if it has the tag.

        Raises:
            NotFound: there is no such tag or version.
            Conflict: the version has too many tags.
        """
        self._add(model_tags, tag_id, version_id=version_id)

    def add_to_pipeline(self, tag_id: int, pipeline_id: int) -> None:
        """Tag a pipeline; nothing changes if it has the tag. The errors are those of `add_to_model`."""
        self._add(pipeline_tags, tag_id, pipeline_id=pipeline_id)

    def remove_from_model(self, tag_id: int, version_id: int) -> None:
        """Take a tag from a model version, if it has it."""
        self._remove(model_tags, tag_id, version_id=version_id)

    def remove_from_pipeline(self, tag_id: int, pipeline_id: int) -> None:
        """Take a tag from a pipeline, if it has it."""
        self._remove(pipeline_tags, tag_id, pipeline_id=pipeline_id)

    def _add(self, table: sa.Table, tag_id: int, **thing: int) -> None:
        ((column, key),) = thing.items()
        with self._database.writing() as connection:
            if (
                not is_id(tag_id)
                or connection.execute(sa.select(tags.c.id).where(tags.c.id == tag_id)).scalar() is None
            ):
                raise NotFound(f"tag {tag_id} not found", fix="create it first", reason="unknown_tag")
            having = table.c[column] == key
            if connection.execute(sa.select(table).where(having, table.c.tag_id == tag_id)).first() is not None:
                return
            if _count(connection, table, having) >= MOST_OF_ONE:
                raise Conflict(f"it has {MOST_OF_ONE} tags, the most", fix="remove one of them", reason="too_many_tags")
            connection.execute(table.insert().values(tag_id=tag_id, **thing))

    def _remove(self, table: sa.Table, tag_id: int, **thing: int) -> None:
        ((column, key),) = thing.items()
        with self._database.writing() as connection:
            connection.execute(table.delete().where(table.c.tag_id == tag_id, table.c[column] == key))


def _by_tag(connection: sa.Connection, query: sa.Select[Any]) -> dict[int, tuple[Tagged, ...]]:
    found: dict[int, list[Tagged]] = {}
    for row in connection.execute(query):
        values = row._asdict()
        found.setdefault(values.pop("tag_id"), []).append(Tagged(**values))
    return {tag_id: tuple(things) for tag_id, things in found.items()}


def _count(connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar_one())
