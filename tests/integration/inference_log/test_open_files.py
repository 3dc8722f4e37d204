"""The log holds few files open, however many versions and deployments come and go; one that finds no descriptor costs rows only."""

import http.client
import json
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

from trivet.inference_log import COLUMNS, LogFolder, LogLimits, OpenFiles, Origin, folder_of, prune_all, read_logs


def limit_descriptors(here: Any, soft: int, hard: int) -> None:
    psutil.Process(here.process.pid).rlimit(psutil.RLIMIT_NOFILE, (soft, hard))


def descriptors(here: Any) -> list[int]:
    return sorted(int(path.name) for path in Path(f"/proc/{here.process.pid}/fd").iterdir())


def open_segments(here: Any) -> list[str]:
    found = []
    for path in Path(f"/proc/{here.process.pid}/fd").iterdir():
        try:
            found.append(os.readlink(path))  # noqa: PTH115 - what is no path reads as one otherwise
        except FileNotFoundError:
            continue
    return [path for path in found if path.endswith(".arrows")]


def answer(here: Any, number: int) -> int:
    [row] = here.ask([{"x": 1}], path=f"/pipelines/p{number}/infer")
    return row["out"]["y"]


def test_versions_that_come_and_go_leave_no_open_file_and_every_row(
    gateway: Callable[..., Any], routes: Any, wait_until: Callable[..., Any]
) -> None:
    here = gateway().start()
    limit_descriptors(here, 128, 128)
    numbers = range(1, 5)
    times = 40
    for factor in range(2, times + 2):
        here.serve(*(routes(factor=factor, pipeline=f"p{number}", deployment_id=number) for number in numbers))
        for number in numbers:
            wait_until(
                lambda number=number, factor=factor: answer(here, number) == factor, "the new version is not there"
            )
    wait_until(lambda: len(open_segments(here)) <= len(numbers), "segments of versions that are gone stay open")
    assert len(descriptors(here)) < 64
    for number in numbers:
        assert here.values("out.y", deployment_id=number) == list(range(2, times + 2))
        folder = here.folder(number)
        wait_until(lambda folder=folder: len(list(folder.glob("*.arrows"))) == 1, "not all but the newest are sealed")
        assert here.values("out.y", deployment_id=number) == list(range(2, times + 2))
        assert here.dropped(f"p{number}") == 0


def test_deployments_that_come_and_go_leave_no_open_file_and_every_row(
    gateway: Callable[..., Any], routes: Any, wait_until: Callable[..., Any]
) -> None:
    here = gateway().start()
    limit_descriptors(here, 128, 128)
    for number in range(1, 150):
        here.serve(routes(deployment_id=number))
        here.ask([{"x": number}])
    here.serve(routes(deployment_id=1000, pipeline="other"))
    here.flush()
    wait_until(lambda: not open_segments(here), "segments of deployments that are gone stay open")
    for number in range(1, 150):
        assert here.values(deployment_id=number, flush=False) == [number]


def test_pipelines_beyond_the_limit_of_open_files_keep_one_segment_each(
    gateway: Callable[..., Any], routes: Any
) -> None:
    here = gateway().start(*(routes(pipeline=f"p{number}", deployment_id=number) for number in range(1, 101)))
    for x in range(3):
        connection = here.connect()
        for number in range(1, 101):
            here.ask([{"x": x}], path=f"/pipelines/p{number}/infer", connection=connection)
        connection.close()
        here.flush()
        assert len(open_segments(here)) <= 64
    for number in range(1, 101):
        assert here.values(deployment_id=number, flush=False) == [0, 1, 2]
        assert len(list(here.folder(number).iterdir())) == 1


def test_a_log_that_finds_no_descriptor_costs_rows_and_no_prediction(
    gateway: Callable[..., Any], routes: Any, wait_until: Callable[..., Any]
) -> None:
    here = gateway().start(routes())
    connection = here.connect()
    here.ask([{"x": -1}], connection=connection)
    here.flush()
    soft, hard = psutil.Process(here.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    # The log has not begun yet for this one; every number below the limit is in use.
    here.serve(routes(), routes(pipeline="q", deployment_id=2))
    wait_until(lambda: status(connection, "/pipelines/q") == 200, "q is not there")
    used = descriptors(here)
    limit_descriptors(here, next(number for number in range(len(used) + 1) if number not in used), hard)
    asked = 0
    while asked < 5 or dropped(connection, "q") == 0:
        assert here.ask([{"x": asked}], path="/pipelines/q/infer", connection=connection)
        asked += 1
        here.flush()
        assert asked < 1000
    limit_descriptors(here, soft, hard)
    wait_until(
        lambda: here.ask([{"x": -2}], path="/pipelines/q/infer") and here.logs(deployment_id=2).table.num_rows,
        "the log does not go on",
    )
    assert here.values() == [-1]
    connection.close()


def test_the_gateway_takes_as_many_descriptors_as_it_may(gateway: Callable[..., Any]) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
    try:
        here = gateway().start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert psutil.Process(here.process.pid).rlimit(psutil.RLIMIT_NOFILE) == (before[1], before[1])


def dropped(connection: http.client.HTTPConnection, pipeline: str) -> float:
    """What the metric says, over a connection that is there."""
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    pattern = rf'^trivet_inference_log_dropped_rows_total{{pipeline="{pipeline}"[^}}]*}} (\S+)$'
    return sum(float(found) for found in re.findall(pattern, text, re.MULTILINE))


def status(connection: http.client.HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    reply = connection.getresponse()
    json.loads(reply.read())
    return reply.status


# Whichever file operation fails.

LIMITS = LogLimits(segment_bytes=64 * 1024)


def batch_of(number: int, *, version: str, rows: int = 200) -> pa.RecordBatch:
    origin = Origin(last_model="{}", pipeline_version=version, partition="p")
    columns = [
        pa.array(np.full(rows, number, dtype="datetime64[ms]")),
        pa.array(np.full(rows, number, dtype=np.uint64)),
        pa.array(np.arange(rows, dtype=np.uint32)),
        pa.array(np.zeros(rows, dtype=np.uint64)),
        pa.array(np.zeros(rows, dtype=np.uint64)),
        pa.array([os.urandom(40) for _ in range(rows)]),
    ]
    schema = origin.put_into(pa.schema([*COLUMNS, pa.field("in.x", pa.binary())]))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def open_files(folder: Path) -> list[str]:
    """Those below a folder that this process has open."""
    found = (os.path.realpath(path) for path in Path("/proc/self/fd").iterdir())
    return [path for path in found if path.startswith(f"{folder.resolve()}/")]


def requests_in(path: Path) -> list[int]:
    page = read_logs(path, limit=10**6, order="Asc")
    if page.table is None or not page.table.num_rows:
        return []
    assert set(page.table["time"].value_counts().field("counts").to_pylist()) == {200}, "a batch is there in part"
    return sorted(set(page.table["time"].cast(pa.int64()).to_pylist()))


@pytest.mark.parametrize("kind", ["ENOSPC", "EIO", "EMFILE"])
def test_after_any_failed_operation_the_log_holds_confirmed_rows(
    nth_failure: ModuleType, tmp_path: Path, kind: str
) -> None:
    met = set()
    for fault in nth_failure.each(kind):
        home = tmp_path / str(fault.number)
        path = folder_of(home, workspace_id=1, deployment_id=1)
        folder = LogFolder(path, LIMITS, OpenFiles(1))
        kept = []
        with fault:
            # Two versions by turns: one file for both, and segments that are full.
            for number in range(1, 13):
                try:
                    folder.write(batch_of(number, version=str(number % 2)))
                except OSError:
                    continue
                kept.append(number)
            folder.finish("1")
            try:
                folder.tend()
                prune_all(home, LIMITS, opened={path: folder})
            except OSError:
                assert fault.reached
        assert len(open_files(home)) <= 1, str(fault)
        met.add(fault.operation.partition(" ")[0])
        assert len(kept) >= (11 if fault.reached else 12), str(fault)
        assert requests_in(path) == kept, str(fault)
        # And it goes on.
        folder.tend()
        folder.write(batch_of(99, version="1"))
        assert requests_in(path) == [*kept, 99], str(fault)
        folder.finish("0")
        folder.finish("1")
        folder.tend()
        assert folder.idle, str(fault)
        assert {each.suffix for each in path.iterdir()} == {".parquet"}, str(fault)
        assert requests_in(path) == [*kept, 99], str(fault)
        folder.close()
        assert not [name for name in open_files(home) if name.endswith(".arrows")], str(fault)
    expected = {"EMFILE": {"create", "open"}}.get(kind, {"create", "write", "fsync", "rename"})
    assert expected <= met


def test_wherever_the_writer_dies_the_next_one_seals_confirmed_rows(nth_failure: ModuleType, tmp_path: Path) -> None:
    for fault in nth_failure.each("crash"):
        home = tmp_path / str(fault.number)
        path = folder_of(home, workspace_id=1, deployment_id=1)
        said = tmp_path / f"{fault.number}.said"

        def act(path: Path = path, said: Path = said) -> None:
            folder = LogFolder(path, LIMITS, OpenFiles(1))
            descriptor = os.open(said, os.O_WRONLY | os.O_CREAT)
            for number in range(1, 7):
                folder.write(batch_of(number, version=str(number % 2)))
                os.pwrite(descriptor, b"%d" % number, 0)
            folder.finish("1")

        code = fault.in_child(act)
        assert code == (nth_failure.CRASHED if fault.reached else 0), str(fault)
        number = int(said.read_text() or 0) if said.exists() else 0
        LogFolder(path, LIMITS).recover()
        found = requests_in(path)
        # The one that was being written when it died may be there, whole.
        assert found in (list(range(1, number + 1)), list(range(1, number + 2))), str(fault)
        assert not path.exists() or {each.suffix for each in path.iterdir()} <= {".parquet"}, str(fault)
