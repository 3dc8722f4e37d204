"""The log keeps its size and its age while it is written and read."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from trivet.inference_log import COLUMNS, LogFolder, LogLimits, Origin, folder_of, prune_all, read_logs, reader

MIB = 2**20


def size_of(here: Any) -> int:
    sizes = []
    for path in here.folder().iterdir():
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes)


def noise(numbers: range) -> bytes:
    """Rows that cannot be made smaller, each with its number."""
    texts = [f"{number:09d}{os.urandom(150).hex()}" for number in numbers]
    return json.dumps([{"x": text} for text in texts]).encode()


def test_the_oldest_rows_go_and_readers_see_whole_pages_meanwhile(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway(inference_log_mib=2).start(routes(kind="string"))
    rows = 500
    here.ask(noise(range(rows)))
    here.flush()
    failures: list[str] = []
    pages = 0
    stop = threading.Event()

    def reader() -> None:
        nonlocal pages
        while not stop.is_set():
            try:
                page = here.logs(flush=False, limit=700)
                numbers = [int(text[:9]) for text in page.table["in.x"].to_pylist()]
            except Exception as error:  # noqa: BLE001 - told by the test
                failures.append(repr(error))
                return
            if numbers != list(range(numbers[0], numbers[0] - len(numbers), -1)):
                failures.append(f"not in one piece: {numbers[:3]}…{numbers[-3:]}")
            pages += 1

    readers = [threading.Thread(target=reader) for _ in range(2)]
    for each in readers:
        each.start()
    largest = 0
    for number in range(1, 80):
        here.ask(noise(range(number * rows, (number + 1) * rows)))
        largest = max(largest, size_of(here))
    here.flush()
    stop.set()
    for each in readers:
        each.join()
    assert not failures
    assert pages > 5
    found = [int(text[:9]) for text in here.values()]
    assert found == list(range(found[0], 80 * rows))
    assert found[0] > 0
    # A segment that is being sealed occurs twice for a moment.
    assert size_of(here) <= 2 * MIB + 512 * 1024
    assert largest <= 3 * MIB
    assert here.dropped() == 0


def test_one_request_larger_than_the_log_may_be_leaves_its_end(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway(inference_log_mib=1).start(routes(kind="string"))
    here.ask(noise(range(10_000)))
    here.flush()
    assert size_of(here) <= 2 * MIB
    found = [int(text[:9]) for text in here.values()]
    assert found
    assert found == list(range(found[0], 10_000))


def test_what_is_older_than_it_may_be_goes_when_the_next_gateway_starts(
    gateway: Callable[..., Any], routes: Any
) -> None:
    here = gateway(inference_log_days=2).start(routes())
    for number in range(3):
        here.ask([{"x": number}])
        here.flush()
        here.end(signal.SIGKILL)
        here.start()
        here.flush()
    old, _, _ = sorted(here.folder().glob("*.parquet"))
    moment = time.time() - 3 * 86_400
    os.utime(old, (moment, moment))
    # The log of a deployment that is long gone, too, with its folder.
    gone = here.folder(deployment_id=77)
    gone.mkdir()
    old_too = gone / old.name
    old_too.write_bytes(old.read_bytes())
    os.utime(old_too, (moment, moment))
    assert here.values(flush=False) == [0, 1, 2]
    here.end(signal.SIGTERM)
    here.start()
    here.flush()
    assert here.values() == [1, 2]
    assert not gone.exists()


def batch_of(number: int, *, field: str = "x") -> pa.RecordBatch:
    origin = Origin(last_model="{}", pipeline_version="v", partition="p")
    count = 1000
    columns = [
        pa.array(np.full(count, number, dtype="datetime64[ms]")),
        pa.array(np.full(count, number, dtype=np.uint64)),
        pa.array(np.arange(count, dtype=np.uint32)),
        pa.array(np.zeros(count, dtype=np.uint64)),
        pa.array(np.zeros(count, dtype=np.uint64)),
        pa.array([os.urandom(40) for _ in range(count)]),
    ]
    schema = origin.put_into(pa.schema([*COLUMNS, pa.field(f"in.{field}", pa.binary())]))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def larger_than_it_may_be(home: Path) -> tuple[Path, LogFolder]:
    """A log of the times 1 to 29, and what would take the oldest of its files away."""
    path = folder_of(home, workspace_id=1, deployment_id=1)
    folder = LogFolder(path, LogLimits(bytes_each=8 * MIB, segment_bytes=64 * 1024))
    for number in range(1, 30):
        folder.write(batch_of(number))
    folder.close()
    return path, LogFolder(path, LogLimits(bytes_each=MIB, segment_bytes=64 * 1024))


def test_between_two_removed_files_readers_see_no_holes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, smaller = larger_than_it_may_be(home)
    seen: list[list[int]] = []
    unlink = Path.unlink

    def unlink_and_look(gone: Path, missing_ok: bool = False) -> None:
        unlink(gone, missing_ok=missing_ok)
        times = read_logs(path, limit=10**6, order="Asc").table["time"].cast(pa.int64())
        seen.append(pc.unique(times).to_pylist())

    monkeypatch.setattr(Path, "unlink", unlink_and_look)
    smaller.prune()
    assert len(seen) > 5
    for times in seen:
        assert times == list(range(times[0], 30))


@pytest.mark.parametrize("missed", [(0,), (1,), (0, 1), (0, 2), (1, 2)])
def test_lists_that_leave_out_a_file_leave_no_hole(
    home: Path, monkeypatch: pytest.MonkeyPatch, missed: tuple[int, ...]
) -> None:
    """The system may leave out a file that is created or renamed while it lists the folder."""
    path, _ = larger_than_it_may_be(home)
    glob, calls = Path.glob, 0

    def some(folder: Path, pattern: str) -> list[Path]:
        nonlocal calls
        calls += 1
        found = sorted(glob(folder, pattern))
        begun = min(len(found), 20 + calls)
        return [each for place, each in enumerate(found[:begun]) if place != 15 or calls - 1 not in missed]

    monkeypatch.setattr(Path, "glob", some)
    times = pc.unique(read_logs(path, limit=10**6, order="Asc").table["time"].cast(pa.int64())).to_pylist()
    assert times == list(range(1, times[-1] + 1))
    assert times[-1] >= 20


@pytest.mark.parametrize("order", ["Asc", "Desc"])
def test_files_that_are_taken_away_while_they_are_read_leave_no_hole(
    home: Path, monkeypatch: pytest.MonkeyPatch, order: Literal["Asc", "Desc"]
) -> None:
    path, smaller = larger_than_it_may_be(home)
    load, loaded = reader._load, []

    def load_and_prune(*args: Any) -> Any:
        found = load(*args)
        loaded.append(found)
        if len(loaded) == 3:
            smaller.prune()
        return found

    monkeypatch.setattr(reader, "_load", load_and_prune)
    times = pc.unique(read_logs(path, limit=10**6, order=order).table["time"].cast(pa.int64())).to_pylist()
    assert None in loaded
    assert sorted(times) == list(range(min(times), 30))


def test_taking_away_what_is_too_much_spares_a_segment_that_still_grows(home: Path) -> None:
    path = folder_of(home, workspace_id=1, deployment_id=1)
    limits = LogLimits(bytes_each=MIB, segment_bytes=256 * 1024)
    folder = LogFolder(path, limits)
    # One of little traffic was begun first.
    folder.write(batch_of(1, field="rare"))
    for number in range(2, 60):
        folder.write(batch_of(number))
    prune_all(home, limits, opened={path: folder})
    folder.write(batch_of(60, field="rare"))
    page = read_logs(path, limit=2000, order="Desc")
    folder.close()
    assert page.table.column_names == ["time", "in.rare"]
    assert set(page.table["time"].cast(pa.int64()).to_pylist()) == {60}
    first = read_logs(path, limit=1, order="Asc")
    assert first.table.column_names == ["time", "in.rare"]
