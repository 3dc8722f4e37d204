"""How the inference log lies on disk.

A deployment has a folder, `<home>/inference/<workspace id>/<deployment id>/`, of segments. A segment that is being written is an
Arrow IPC stream, which can be read up to its last whole batch even after a crash of its writer; a complete one is Parquet.
All rows of a segment have one schema and come from one pipeline version.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa

from trivet.errors import Internal

__all__ = ["COLUMNS", "DROPPED", "OPEN", "SEALED", "Origin", "folder_of", "list_segments"]

OPEN = ".arrows"
SEALED = ".parquet"
KEY = b"trivet"

COLUMNS = (
    pa.field("time", pa.timestamp("ms"), nullable=False),
    pa.field("request", pa.uint64(), nullable=False),
    pa.field("row", pa.uint32(), nullable=False),
    pa.field("elapsed.read", pa.uint64(), nullable=False),
    pa.field("elapsed.model", pa.uint64(), nullable=False),
)
"""The first columns of every row: time, request (ascending), row of the request, and nanoseconds. Then come `in.*`, `out.*`
and `anomaly.*`."""

DROPPED = pa.field("dropped", pa.list_(pa.field("item", pa.string())))
"""The last column of rows that are kept without some of their columns: the names of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where the answers of a segment come from: stored once, because it is the same for all rows.

    Attributes:
        last_model: JSON text `{"model_name": …, "model_sha": …}`.
        pipeline_version: its UUID.
        partition: the process that answered.
    """

    last_model: str
    pipeline_version: str
    partition: str

    def put_into(self, schema: pa.Schema) -> pa.Schema:
        """The schema with this origin in its metadata."""
        return schema.with_metadata({KEY: json.dumps(asdict(self)).encode()})

    @classmethod
    def found_in(cls, schema: pa.Schema) -> Self:
        """The origin that a segment's schema holds.

        Raises:
            Internal: there is none in it.
        """
        try:
            return cls(**json.loads((schema.metadata or {})[KEY]))
        except (KeyError, ValueError, TypeError) as error:
            raise Internal("not a segment of an inference log", why=repr(error)) from error


def folder_of(home: Path, *, workspace_id: int, deployment_id: int) -> Path:
    """The folder of a deployment's log."""
    return home / "inference" / str(workspace_id) / str(deployment_id)


def list_segments(folder: Path) -> list[Path]:
    """A folder's segments, in order of their start, without a hole while others write. One that is being sealed is listed once."""
    # The system's list of a folder may leave out what was created or renamed meanwhile. A segment is created once and renamed
    # once, so one of three lists holds each that was begun before the end of the first.
    found, *again = (_listed(folder) for _ in range(3))
    newest = max(found, default="")
    for more in again:
        for stem, path in more.items():
            if stem < newest and (stem not in found or path.suffix == SEALED):
                found[stem] = path
    return [found[stem] for stem in sorted(found)]


def _listed(folder: Path) -> dict[str, Path]:
    # `.parquet` sorts after `.arrows`: the sealed one wins.
    return {path.stem: path for path in sorted(folder.glob("*.*")) if path.suffix in {OPEN, SEALED}}
