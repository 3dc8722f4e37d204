"""What is written can be read: in order, in part, after any end of its writer, within its limits."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trivet.errors import Invalid
from trivet.inference_log import COLUMNS, LogFolder, LogLimits, Origin, read_logs

ORIGIN = Origin(last_model='{"model_name":"m","model_sha":"s"}', pipeline_version="v1", partition="p")
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def rows_of(requests: list[int], *, a_request: int = 2, field: str = "x", origin: Origin = ORIGIN) -> pa.RecordBatch:
    """So many rows for each request; `x` says which request and row it is; request n came n seconds after a moment."""
    number = np.repeat(np.array(requests, dtype=np.uint64), a_request)
    row = np.tile(np.arange(a_request, dtype=np.uint32), len(requests))
    times = [MOMENT.replace(tzinfo=None) + timedelta(seconds=int(each)) for each in number]
    values = [f"{each}.{index}" for each, index in zip(number, row, strict=True)]
    columns = [
        pa.array(times, pa.timestamp("ms")),
        pa.array(number),
        pa.array(row),
        pa.array(np.full(len(row), 7, dtype=np.uint64)),
        pa.array(np.full(len(row), 9, dtype=np.uint64)),
        pa.array(values),
        pa.array(np.arange(len(row), dtype=np.float64)),
        pa.array(np.zeros(len(row), dtype=np.uint32)),
        pa.array([True] * len(row)),
    ]
    names = [f"in.{field}", "out.y", "anomaly.count", "anomaly.big"]
    types = [pa.string(), pa.float64(), pa.uint32(), pa.bool_()]
    schema = pa.schema([*COLUMNS, *(pa.field(name, kind) for name, kind in zip(names, types, strict=True))])
    return pa.RecordBatch.from_arrays(columns, schema=origin.put_into(schema))


def values(table: pa.Table, column: str = "in.x") -> list[str]:
    return table[column].to_pylist()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "inference" / "1" / "1"


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., LogFolder]]:
    """Logs in the folder; they are open until the test ends, as they are in a process that is killed."""
    made: list[LogFolder] = []

    def make(**limits: Any) -> LogFolder:
        made.append(LogFolder(folder, LogLimits(**limits)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_newest_rows_come_first_and_those_of_one_request_in_reverse(
    opened: Callable[..., LogFolder], folder: Path
) -> None:
    log = opened()
    log.write(rows_of([1, 2]))
    log.write(rows_of([3]))
    page = read_logs(folder)
    assert values(page.table) == ["3.1", "3.0", "2.1", "2.0", "1.1", "1.0"]
    assert (page.status, page.cursor) == ("All", None)


def test_between_two_moments_they_come_in_order_of_time(opened: Callable[..., LogFolder], folder: Path) -> None:
    opened().write(rows_of([1, 2, 3, 4]))
    page = read_logs(folder, start=MOMENT + timedelta(seconds=2), end=MOMENT + timedelta(seconds=3))
    assert values(page.table) == ["2.0", "2.1", "3.0", "3.1"]


def test_columns_are_sorted_by_part_with_metadata_only_on_request(
    opened: Callable[..., LogFolder], folder: Path
) -> None:
    opened().write(rows_of([1]))
    assert read_logs(folder).table.column_names == ["time", "in.x", "out.y", "anomaly.count", "anomaly.big"]
    table = read_logs(folder, dataset=["out", "metadata.last_model", "metadata.elapsed"]).table
    assert table.column_names == ["out.y", "metadata.elapsed", "metadata.last_model"]
    assert table["metadata.elapsed"][0].as_py() == [7, 9]
    assert table["metadata.last_model"][0].as_py() == ORIGIN.last_model
    assert read_logs(folder, exclude=["in", "anomaly.big"]).table.column_names == ["time", "out.y", "anomaly.count"]


@pytest.mark.parametrize("order", ["Asc", "Desc"])
def test_pages_joined_are_the_whole_log(opened: Callable[..., LogFolder], folder: Path, order: str) -> None:
    log = opened(segment_bytes=1, bytes_each=2**30)
    for request in range(1, 40):
        log.write(rows_of([request], a_request=3))
    found, cursor = [], None
    while True:
        page = read_logs(folder, limit=7, order=order, cursor=cursor)  # type: ignore[arg-type]
        found += values(page.table)
        cursor = page.cursor
        if cursor is None:
            break
        assert page.status == "RecordLimited"
    expected = [f"{request}.{row}" for request in range(1, 40) for row in range(3)]
    assert found == (expected if order == "Asc" else expected[::-1])


def test_another_schema_ends_a_page_and_the_next_one_goes_on(opened: Callable[..., LogFolder], folder: Path) -> None:
    log = opened()
    log.write(rows_of([1]))
    log.write(rows_of([2], field="z"))
    page = read_logs(folder)
    assert page.status == "SchemaChange"
    assert values(page.table, "in.z") == ["2.1", "2.0"]
    rest = read_logs(folder, cursor=page.cursor)
    assert (values(rest.table), rest.status) == (["1.1", "1.0"], "All")


def test_another_version_with_the_same_columns_keeps_the_schema(opened: Callable[..., LogFolder], folder: Path) -> None:
    log = opened()
    log.write(rows_of([1]))
    log.write(rows_of([2], origin=Origin(last_model="{}", pipeline_version="v2", partition="p")))
    page = read_logs(folder, dataset=["in", "metadata"])
    assert page.status == "All"
    assert values(page.table, "metadata.pipeline_version") == ["v2", "v2", "v1", "v1"]


def test_a_segment_cut_at_any_byte_can_be_read_up_to_its_last_whole_batch(
    opened: Callable[..., LogFolder], folder: Path
) -> None:
    log = opened()
    log.write(rows_of([1]))
    (path,) = folder.iterdir()
    whole = path.stat().st_size
    log.write(rows_of([2]))
    content = path.read_bytes()
    for size in range(whole, len(content), 7):
        path.write_bytes(content[:size])
        assert values(read_logs(folder).table) == ["1.1", "1.0"], size
    for size in range(0, whole, 11):
        path.write_bytes(content[:size])
        assert read_logs(folder).table.num_rows == 0


def test_what_a_killed_process_was_writing_is_sealed_by_the_next_one(
    opened: Callable[..., LogFolder], folder: Path
) -> None:
    opened().write(rows_of([1, 2]))
    assert [path.suffix for path in folder.iterdir()] == [".arrows"]
    opened().recover()
    assert [path.suffix for path in folder.iterdir()] == [".parquet"]
    assert values(read_logs(folder).table) == ["2.1", "2.0", "1.1", "1.0"]


def test_the_oldest_segments_go_when_the_log_is_larger_than_it_may_be(
    opened: Callable[..., LogFolder], folder: Path
) -> None:
    limits = LogLimits(bytes_each=2 * 2**20)
    log = opened(bytes_each=limits.bytes_each)
    for request in range(1, 60):
        log.write(rows_of([request * 10_000 + number for number in range(2000)]))
    log.prune()
    assert sum(path.stat().st_size for path in folder.iterdir()) <= limits.bytes_each
    newest = read_logs(folder, limit=1)
    assert values(newest.table) == [f"{59 * 10_000 + 1999}.1"]
    assert read_logs(folder, limit=1, order="Asc").table["in.x"][0].as_py() != "10000.0"


def test_segments_older_than_they_may_be_go(opened: Callable[..., LogFolder], folder: Path) -> None:
    opened().write(rows_of([1]))
    fresh = opened(age_s=3600)
    fresh.recover()
    (path,) = folder.iterdir()
    fresh.prune()
    assert path.exists()
    before = time.time() - 4000
    os.utime(path, (before, before))
    fresh.prune()
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_empty_log(folder: Path) -> None:
    page = read_logs(folder)
    assert (page.table.num_rows, page.status) == (0, "All")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"limit": 0}, "limit of 0"),
        ({"start": MOMENT}, "required together"),
        ({"start": MOMENT, "end": MOMENT - timedelta(seconds=1)}, "is after"),
        ({"dataset": ["outputs"]}, "unknown dataset 'outputs'"),
        ({"dataset": ["*", "metadata"]}, "cannot be combined"),
        ({"cursor": "nonsense!"}, "invalid log cursor"),
    ],
)
def test_an_invalid_selection_is_refused(folder: Path, asked: dict, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read_logs(folder, **asked)
