"""A disk that does not answer costs log rows, which are counted, and nothing else."""

import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from trivet.inference_log import read_logs

QUEUE_ROWS = 200_000


@contextmanager
def unanswered(path: Path) -> Iterator[None]:
    """Whoever opens a file waits in the kernel, as for a disk that does not answer, until this ends."""
    # The kernel says it with a signal, which would end the tests.
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    finally:
        os.close(file)
        signal.signal(signal.SIGIO, before)


@pytest.fixture
def stuck(gateway: Callable[..., Any], routes: Any) -> Iterator[Callable[..., Any]]:
    """A gateway whose log waits for the disk before it writes, and the end of that wait."""
    with ExitStack() as ends:

        def make(*, first: Any = 0, **about: Any) -> tuple[Any, Callable[[], None]]:
            here = gateway()
            here.start(routes(**about))
            here.ask([{"x": first}])
            here.flush()
            here.end(signal.SIGKILL)
            (begun,) = here.folder().glob("*.arrows")
            wait = ExitStack()
            ends.enter_context(wait)
            wait.enter_context(unanswered(begun))
            here.start()
            return here, wait.close

        yield make


def test_rows_beyond_the_queue_are_counted_and_predictions_continue(
    stuck: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    here, answers = stuck()
    body = json.dumps([{"x": 1}] * 20_000).encode()
    sent = 0
    for _ in range(14):
        assert len(here.ask(body)) == 20_000
        sent += 20_000
    dropped = here.dropped()
    assert sent - QUEUE_ROWS <= dropped < sent
    answers()
    wait_until(lambda: here.logs().table.num_rows == 1 + sent - dropped, "what waited is not in the log")
    assert here.dropped() == dropped
    here.ask([{"x": 2}])
    assert here.values()[-1] == 2


def test_a_full_queue_of_texts_leaves_a_readable_log_and_recovers(
    stuck: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    here, answers = stuck(kind="string", first="begun")
    body = json.dumps([{"x": "long"}] * 20_000).encode()
    for _ in range(12):
        here.ask(body)
    dropped = here.dropped()
    assert dropped > 0
    answers()
    wait_until(lambda: here.logs().table.num_rows == 1 + 240_000 - dropped, "what waited is not in the log")
    here.ask([{"x": "after"}])
    assert here.values()[-1] == "after"
    assert here.dropped() == dropped
    assert "rows are dropped" not in here.said()
    here.end(signal.SIGTERM)
    here.start()
    here.flush()
    assert read_logs(here.folder(), limit=1).table["in.x"].to_pylist() == ["after"]


@pytest.mark.parametrize("kind", ["float32", "string"])
def test_what_waits_takes_no_more_memory_than_it_may_however_wide_the_rows(
    stuck: Callable[..., Any], arrow_stream: Callable[..., bytes], kind: str
) -> None:
    width = 2**17 if kind == "float32" else 1
    small, wide = (["small"], ["w" * 2**20]) if kind == "string" else ([0.5] * width, [0.25] * width)
    here, answers = stuck(kind=kind, width=width, first=small)
    process = psutil.Process(here.process.pid)
    column = pa.array([wide], pa.list_(pa.string() if kind == "string" else pa.float32(), width))
    body = json.dumps([{"x": wide}]).encode() if kind == "string" else arrow_stream(pa.record_batch({"x": column}))
    content_type = "application/json" if kind == "string" else "application/vnd.apache.arrow.stream"
    connection = here.connect()
    # The first row tells nothing about the next ones.
    here.ask([{"x": small}], connection=connection)
    before = process.memory_info().rss
    for _ in range(700):
        here.ask(body, path="/pipelines/p/infer?dataset[]=time", content_type=content_type, connection=connection)
    connection.close()
    grown = process.memory_info().rss - before
    answers()
    # It may be 256 MiB, and as much again where what waits is being written.
    assert grown < 640 * 2**20, f"{grown / 2**20:.0f} MiB"
    assert here.dropped() > 0
