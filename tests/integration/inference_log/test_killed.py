"""A gateway that is killed while it writes leaves a log that can be read, and the next one goes on with it."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from trivet.inference_log import read_logs

ROWS = 40


def test_repeated_kills_keep_flushed_rows_and_whole_requests_only(gateway: Callable[..., Any], routes: Any) -> None:
    chance = random.Random(5)
    here = gateway(inference_log_mib=4).start(routes(kind="string"))
    for life in range(6):
        answered: set[str] = set()
        stop = threading.Event()

        def client(name: str, stop: threading.Event = stop, answered: set[str] = answered) -> None:
            connection = here.connect()
            number = 0
            try:
                while not stop.is_set():
                    said = f"{name}-{number}"
                    here.ask([{"x": said}] * ROWS, connection=connection)
                    answered.add(said)
                    number += 1
            except (OSError, json.JSONDecodeError):
                pass
            finally:
                connection.close()

        clients = [threading.Thread(target=client, args=(f"{life}.{number}",)) for number in range(2)]
        for each in clients:
            each.start()
        # A busy machine may not have answered anything by then, and the kill has to have something to lose.
        while not answered and any(each.is_alive() for each in clients):
            time.sleep(0.01)
        time.sleep(chance.uniform(0.2, 0.6))
        safe = answered.copy()
        here.flush()
        time.sleep(chance.uniform(0.0, 0.8))
        here.end(signal.SIGKILL)
        stop.set()
        for each in clients:
            each.join()
        # Read as it was left, and by the one that came after.
        before = read_logs(here.folder(), limit=10**6, order="Asc").table["in.x"].to_pylist()
        here.start()
        here.flush()
        after = here.values(flush=False)
        assert after == before
        kept = Counter(after)
        assert set(kept.values()) == {ROWS}
        assert safe
        assert safe <= set(kept)
        assert not list(here.folder().glob("*.new"))
    here.ask([{"x": "last"}])
    assert here.values()[-1] == "last"
    requests = here.logs(order="Asc").table["time"].to_pylist()
    assert requests == sorted(requests)


@pytest.mark.parametrize(
    "left", ["half a Parquet file", "an empty segment", "a segment cut in its last batch", "nothing"]
)
def test_files_that_were_being_written_are_not_taken_for_whole_ones(
    gateway: Callable[..., Any], routes: Any, left: str
) -> None:
    here = gateway().start(routes())
    for number in range(5):
        here.ask([{"x": number}])
        here.flush()
    here.end(signal.SIGKILL)
    (segment,) = here.folder().iterdir()
    expected = list(range(5))
    match left:
        case "half a Parquet file":
            # Its name says that it is none yet.
            segment.with_suffix(".parquet.new").write_bytes(b"PAR1" + os.urandom(3000))
        case "an empty segment":
            segment.with_name("999999999999999-000001.arrows").touch()
        case "a segment cut in its last batch":
            os.truncate(segment, segment.stat().st_size - 9)
            expected.pop()
    assert read_logs(here.folder(), order="Asc").table["in.x"].to_pylist() == expected
    here.start()
    here.ask([{"x": 5}])
    assert here.values() == [*expected, 5]
    names = sorted(path.suffix for path in here.folder().iterdir())
    assert names == [".arrows", ".parquet"]


def test_a_sealed_file_that_is_damaged_costs_its_own_rows_only(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway().start(routes())
    for number in range(3):
        here.ask([{"x": number}])
        here.flush()
        here.end(signal.SIGKILL)
        here.start()
    here.flush()
    damaged = sorted(here.folder().glob("*.parquet"))[1]
    os.truncate(damaged, damaged.stat().st_size // 2)
    assert here.values() == [0, 2]
    os.truncate(damaged, 0)
    here.ask([{"x": 3}])
    assert here.values() == [0, 2, 3]


def test_a_stopped_gateway_writes_what_it_answered(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway().start(routes())
    connection = here.connect()
    for number in range(500):
        here.ask([{"x": number}], connection=connection)
    connection.close()
    assert here.end(signal.SIGTERM) == 0
    assert read_logs(here.folder(), limit=10**6, order="Asc").table["in.x"].to_pylist() == list(range(500))


def test_a_stop_writes_rows_with_ever_new_columns(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway().start(routes())
    connection = here.connect()
    for number in range(3000):
        here.ask([{"x": number, f"new{number}": 1}], connection=connection)
    connection.close()
    assert here.end(signal.SIGTERM) == 0
    found: list[int] = []
    cursor = None
    while True:
        page = read_logs(here.folder(), limit=10**6, order="Asc", cursor=cursor)
        found += page.table["in.x"].to_pylist()
        cursor = page.cursor
        if cursor is None:
            break
    assert found == list(range(3000))
