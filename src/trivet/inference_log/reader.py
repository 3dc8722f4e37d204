"""Reading the inference log, with the reference's rules: newest first, or between two moments in order of time."""

import base64
import binascii
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trivet.errors import Invalid
from trivet.inference_log.layout import COLUMNS, DROPPED, SEALED, Origin, list_segments
from trivet.inference_log.writer import read_stream

__all__ = ["LogPage", "Status", "read_logs", "select"]

Status = Literal["All", "SchemaChange", "RecordLimited", "ByteLimited"]

log = logging.getLogger(__name__)

PARTS = ("time", "in", "out", "anomaly", "metadata")
USUAL = ("time", "in", "out", "anomaly")
REMEMBERED = 10_000
TRIES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class LogPage:
    """A part of a log.

    Attributes:
        table: `time` (timestamp[ms], UTC without a zone), then `in.*`, `out.*`, `anomaly.*` and `metadata.*`, each sorted by
            code point.
        status: `All`, or why the page ends before the last requested row.
        cursor: where the next page begins; None after the last page.
    """

    table: pa.Table
    status: Status
    cursor: str | None


@dataclass(frozen=True, slots=True)
class _Segment:
    """The selected rows of one file: their order, and the table that holds them."""

    table: pa.Table
    origin: Origin


def read_logs(
    folder: Path,
    *,
    limit: int = 100,
    start: datetime | None = None,
    end: datetime | None = None,
    order: Literal["Asc", "Desc"] | None = None,
    reverses_rows: bool = True,
    cursor: str | None = None,
    dataset: Sequence[str] = (),
    exclude: Sequence[str] = (),
    max_bytes: int = 2**30,
) -> LogPage:
    """A page of a deployment's log.

    Without `start` and `end` the newest requests come first. With them, rows come in order of time. `order` overrides that.

    Args:
        folder: see `folder_of`; an empty page if it does not exist.
        limit: rows at most.
        start: the first moment, with its zone.
        end: the last moment, with its zone.
        order: `Asc` or `Desc`.
        reverses_rows: whether the rows of each request are in reverse where the newest come first, as in the reference.
        cursor: of the previous page.
        dataset: parts (`time`, `in`, `out`, `anomaly`, `metadata`, `*`) or columns (`out.variable`); all but metadata if empty.
        exclude: parts or columns to leave out.
        max_bytes: of the table.

    Raises:
        Invalid: a limit below 1, an unknown part, half of a range, or an invalid cursor.
    """
    if limit < 1:
        raise Invalid(f"a limit of {limit} rows", fix="ask for one row at least")
    if (start is None) != (end is None):
        raise Invalid("start_datetime and end_datetime are required together", fix="give both, or neither")
    if start is not None and end is not None and start > end:
        raise Invalid("start_datetime is after end_datetime", fix="give the earlier one first")
    descending = (order or ("Desc" if start is None else "Asc")) == "Desc"
    after = None if cursor is None else _read_cursor(cursor)
    rows_descending = descending and reverses_rows
    wanted = _Wanted(
        limit=limit, start=start, end=end, descending=descending, rows_descending=rows_descending, after=after
    )
    segments = _enough(folder, wanted)
    index = _index(segments, descending=descending, rows_descending=rows_descending)
    chosen, status = _same_schema(index[:limit], segments), "All"
    if len(chosen) < min(limit, len(index)):
        status = "SchemaChange"
    elif len(index) > limit:
        status = "RecordLimited"
    table = _gather(chosen, segments)
    if table.nbytes > max_bytes:
        fewer = max(1, int(len(chosen) * max_bytes / table.nbytes))
        chosen, status = chosen[:fewer], "ByteLimited"
        table = _gather(chosen, segments)
    next_cursor = None if status == "All" else _write_cursor(chosen[-1])
    return LogPage(table=select(table, dataset, exclude), status=status, cursor=next_cursor)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Bounds:
    """A segment, and what its metadata says of its rows."""

    path: Path
    requests: tuple[int, int]
    times: tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which rows are selected."""

    limit: int
    start: datetime | None
    end: datetime | None
    descending: bool
    rows_descending: bool
    after: tuple[int, int] | None

    def may_hold(self, bounds: _Bounds) -> bool:
        """Whether a segment may hold selected rows."""
        first, last = bounds.times
        if self.start is not None and last < _naive(self.start):
            return False
        if self.end is not None and first > _naive(self.end):
            return False
        if self.after is None:
            return True
        return bounds.requests[0] <= self.after[0] if self.descending else bounds.requests[1] >= self.after[0]


def _enough(folder: Path, wanted: _Wanted) -> list[_Segment]:
    """Segments, the nearest first, until no other can hold a row as near as those already read."""
    taken: list[_Segment] = []
    for _ in range(TRIES):
        paths = list_segments(folder)
        taken = _taken(paths, wanted)
        # If a log is written faster than it is read, all listed segments may be gone by now.
        if taken or all(_is_there(path) for path in paths):
            break
    return taken


def _is_there(path: Path) -> bool:
    sealed = _sealed_since(path)
    return path.exists() or (sealed is not None and sealed.exists())


def _taken(paths: list[Path], wanted: _Wanted) -> list[_Segment]:
    found = [bounds for path in paths if (bounds := _bounds(path)) and wanted.may_hold(bounds)]
    if wanted.descending:
        found.sort(key=lambda bounds: bounds.requests[1], reverse=True)
    else:
        found.sort(key=lambda bounds: bounds.requests[0])
    taken: list[_Segment] = []
    for bounds in found:
        edge = bounds.requests[1] if wanted.descending else bounds.requests[0]
        if taken and _nearer(taken, edge, wanted) > wanted.limit:
            break
        segment = _load(bounds.path, wanted)
        if segment is not None:
            taken.append(segment)
        elif not wanted.descending and not _is_there(bounds.path):
            # The oldest segments are removed first. If this one is gone, drop the older ones too: a page has no holes.
            taken.clear()
    return taken


def _nearer(segments: list[_Segment], edge: int, wanted: _Wanted) -> int:
    compare = pc.greater if wanted.descending else pc.less
    return sum(pc.sum(compare(each.table["request"], pa.scalar(edge, pa.uint64()))).as_py() or 0 for each in segments)


def _bounds(path: Path) -> _Bounds | None:
    """None for a segment without rows, and for an unreadable one: the others are still read."""
    try:
        if path.suffix == SEALED:
            found = path.stat()
            return _sealed_bounds(path, found.st_mtime_ns, found.st_size)
        return _open_bounds(path)
    except FileNotFoundError:
        sealed = _sealed_since(path)
        return None if sealed is None else _bounds(sealed)
    except (OSError, pa.ArrowException) as error:
        log.warning("the inference log %s is left out: %s", path, error)
        return None


def _sealed_since(path: Path) -> Path | None:
    """The sealed file of a segment that was open; None if its rows were removed."""
    return None if path.suffix == SEALED else path.with_suffix(SEALED)


# A sealed segment does not change, and a log may have hundreds.
@lru_cache(REMEMBERED)
def _sealed_bounds(path: Path, _written_ns: int, _size: int) -> _Bounds | None:
    metadata = pq.read_metadata(path)
    if metadata.num_rows == 0:
        return None
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    times, requests = ([group.column(column).statistics for group in groups] for column in (0, 1))
    return _Bounds(
        path,
        (min(each.min for each in requests), max(each.max for each in requests)),
        (min(each.min for each in times), max(each.max for each in times)),
    )


def _open_bounds(path: Path) -> _Bounds | None:
    table = _read(path)
    if table is None or table.num_rows == 0:
        return None
    ends = [pc.min_max(table[name]).as_py() for name in ("request", "time")]
    return _Bounds(path, (ends[0]["min"], ends[0]["max"]), (ends[1]["min"], ends[1]["max"]))


def _read(path: Path) -> pa.Table | None:
    """A segment's rows; None if it was started just now, or removed."""
    try:
        if path.suffix == SEALED:
            return pq.read_table(path, memory_map=True)
        schema, batches = read_stream(path)
    except FileNotFoundError:
        sealed = _sealed_since(path)
        return None if sealed is None else _read(sealed)
    except pa.ArrowInvalid:
        if path.suffix == SEALED:
            raise
        return None
    return pa.Table.from_batches(batches, schema=schema)


def _load(path: Path, wanted: _Wanted) -> _Segment | None:
    table = _read(path)
    if table is None:
        return None
    if wanted.start is not None and wanted.end is not None:
        keep = pc.and_(
            pc.greater_equal(table["time"], pa.scalar(_naive(wanted.start), pa.timestamp("ms"))),
            pc.less_equal(table["time"], pa.scalar(_naive(wanted.end), pa.timestamp("ms"))),
        )
        table = table.filter(keep)
    if wanted.after is not None:
        request, row = (
            pa.scalar(number, kind) for number, kind in zip(wanted.after, (pa.uint64(), pa.uint32()), strict=True)
        )
        beyond = pc.less if wanted.descending else pc.greater
        beyond_row = pc.less if wanted.rows_descending else pc.greater
        same = pc.and_(pc.equal(table["request"], request), beyond_row(table["row"], row))
        table = table.filter(pc.or_(beyond(table["request"], request), same))
    if table.num_rows == 0:
        return None
    origin = Origin.found_in(table.schema)
    if DROPPED.name not in table.column_names:
        offsets = pa.array(np.zeros(table.num_rows + 1, np.int32))
        none = pa.ListArray.from_arrays(offsets, pa.array([], pa.string()), type=DROPPED.type)
        table = table.append_column(DROPPED, none)
    return _Segment(table, origin)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


INDEX = np.dtype([("request", np.uint64), ("row", np.uint32), ("segment", np.int32), ("at", np.int64)])


def _index(segments: list[_Segment], *, descending: bool, rows_descending: bool) -> np.ndarray:
    """Every selected row, in order: its request, its row, its segment, and its place there."""
    parts = []
    for number, segment in enumerate(segments):
        part = np.empty(segment.table.num_rows, dtype=INDEX)
        part["request"] = segment.table["request"].to_numpy()
        part["row"] = segment.table["row"].to_numpy()
        part["segment"] = number
        part["at"] = np.arange(segment.table.num_rows)
        parts.append(part)
    index = np.concatenate(parts) if parts else np.empty(0, dtype=INDEX)
    # The bits of an unsigned number inverted: its order in reverse.
    row = ~index["row"] if rows_descending else index["row"]
    return index[np.lexsort((row, ~index["request"] if descending else index["request"]))]


def _same_schema(index: np.ndarray, segments: list[_Segment]) -> np.ndarray:
    """The first rows, up to one with other columns."""
    if len(index) == 0:
        return index
    first = _columns(segments[index["segment"][0]].table)
    alike = np.array([_columns(segment.table) == first for segment in segments])
    differs = ~alike[index["segment"]]
    return index[: int(np.argmax(differs))] if differs.any() else index


def _columns(table: pa.Table) -> pa.Schema:
    return table.schema.remove_metadata()


def _gather(index: np.ndarray, segments: list[_Segment]) -> pa.Table:
    """The rows of an index, with their metadata written out."""
    if len(index) == 0:
        return pa.table({"time": pa.array([], pa.timestamp("ms"))})
    used, where = np.unique(index["segment"], return_inverse=True)
    offsets = np.cumsum([0, *(segments[number].table.num_rows for number in used)])
    tables = [segments[number].table.replace_schema_metadata(None) for number in used]
    rows = pa.concat_tables(tables).take(pa.array(offsets[where] + index["at"])).combine_chunks()
    origins = [segments[number].origin for number in used]
    elapsed = np.stack([rows["elapsed.read"].to_numpy(), rows["elapsed.model"].to_numpy()], axis=1)
    columns: dict[str, pa.ChunkedArray | pa.Array] = {
        "metadata.dropped": rows[DROPPED.name],
        "metadata.elapsed": pa.array(list(elapsed), pa.list_(pa.field("steps", pa.uint64(), nullable=False))),
        "metadata.last_model": pa.array([origins[each].last_model for each in where]),
        "metadata.partition": pa.array([origins[each].partition for each in where]),
        "metadata.pipeline_version": pa.array([origins[each].pipeline_version for each in where]),
    }
    own = {field.name for field in COLUMNS}
    ordered: dict[str, pa.ChunkedArray | pa.Array] = {"time": rows["time"]}
    for part in ("in", "out", "anomaly"):
        for name in sorted(name for name in rows.column_names if name not in own and name.startswith(f"{part}.")):
            ordered[name] = rows[name]
    return pa.table({**_count_first(ordered), **columns})


def _count_first(columns: dict[str, pa.ChunkedArray | pa.Array]) -> dict[str, pa.ChunkedArray | pa.Array]:
    """`anomaly.count` comes before the validations' own columns."""
    count = columns.pop("anomaly.count", None)
    if count is None:
        return columns
    before = {name: column for name, column in columns.items() if not name.startswith("anomaly.")}
    return {**before, "anomaly.count": count, **{n: c for n, c in columns.items() if n.startswith("anomaly.")}}


def select(table: pa.Table, dataset: Sequence[str], exclude: Sequence[str]) -> pa.Table:
    """The columns of a log that are asked for.

    Raises:
        Invalid: an unknown part.
    """
    for name in (*dataset, *exclude):
        if name != "*" and name.partition(".")[0] not in PARTS:
            raise Invalid(f"unknown dataset {name!r}", fix=f"use *, {', '.join(PARTS)}, or a column of one of them")
    if "*" in dataset and any(name.partition(".")[0] == "metadata" for name in dataset):
        raise Invalid("'*' cannot be combined with metadata", fix="name the parts: time, in, out, anomaly, metadata")
    wanted = set(dataset) or set(USUAL)
    if "*" in wanted:
        wanted |= set(USUAL)

    def is_in(name: str, names: set[str]) -> bool:
        return name in names or name.partition(".")[0] in names

    unwanted = set(exclude)
    return table.select([name for name in table.column_names if is_in(name, wanted) and not is_in(name, unwanted)])


def _write_cursor(entry: np.void) -> str:
    text = json.dumps([int(entry["request"]), int(entry["row"])])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(text: str) -> tuple[int, int]:
    try:
        request, row = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
        found = int(request), int(row)
        if not (0 <= found[0] < 2**64 and 0 <= found[1] < 2**32):
            raise ValueError("negative row numbers")
    except (ValueError, TypeError, binascii.Error) as error:
        raise Invalid("invalid log cursor", fix="send the x-iteration-cursor of the previous page") from error
    return found
