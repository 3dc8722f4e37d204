"""A full disk costs log rows, which are counted; predictions go on, and so does the log once there is room."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trivet.inference_log import read_logs


@contextmanager
def no_room_by_limit(here: Any) -> Iterator[None]:
    """The kernel refuses the gateway every byte of a file, in the way that a quota does."""
    here.limit_files(0)
    yield
    here.limit_files(None)


@contextmanager
def no_room_on_disk(here: Any) -> Iterator[None]:
    """The file system that the log lies on is full to the last byte."""
    filling = here.home / "inference" / "filling"
    with filling.open("wb", buffering=0) as file:
        for size in (2**16, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    yield
    filling.unlink()


@pytest.fixture
def small_disk(home: Path) -> Iterator[None]:
    """The log lies on a file system of its own, of 8 MiB."""
    inference = home / "inference"
    inference.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(inference)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system; the other case needs none")
    yield
    subprocess.run(["umount", "--lazy", str(inference)], check=True)


@pytest.fixture(params=["by limit", "on disk"])
def no_room(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """`with no_room(gateway):` its log cannot grow."""
    if request.param == "by limit":
        return no_room_by_limit
    request.getfixturevalue("small_disk")
    return no_room_on_disk


def ask_for(here: Any, seconds: float, first: int) -> int:
    """Ask all the while, with ascending numbers; gives the next one."""
    connection = here.connect()
    ends = time.monotonic() + seconds
    number = first
    while time.monotonic() < ends:
        here.ask([{"x": number}] * 50, connection=connection)
        number += 1
    connection.close()
    return number


def test_rows_on_a_full_disk_are_counted_and_the_log_recovers(
    no_room: Callable[..., Any], gateway: Callable[..., Any], routes: Any, wait_until: Callable[..., Any]
) -> None:
    here = gateway().start(routes())
    full = ask_for(here, 0.5, 0)
    here.flush()
    assert here.dropped() == 0
    with no_room(here):
        again = ask_for(here, 3.0, full)
        here.flush()
        dropped = here.dropped()
        assert dropped > 0
        # What was written before can be read meanwhile.
        assert here.values(flush=False)[: full * 50] == [number for number in range(full) for _ in range(50)]
        files = sorted(here.folder().iterdir())
        assert not [path for path in files if path.stat().st_size == 0], files
    # It tries again after a second.
    wait_until(lambda: here.ask([{"x": -1}]) and -1 in here.values(), "the log does not go on")
    end = ask_for(here, 0.5, again)
    kept = Counter(number for number in here.values() if number >= 0)
    # Requests are there whole, or not at all.
    assert set(kept.values()) == {50}
    assert set(range(again, end)) <= set(kept)


def test_rows_in_the_log_and_rows_dropped_are_all_there_were(
    no_room: Callable[..., Any], gateway: Callable[..., Any], routes: Any
) -> None:
    here = gateway().start(routes(kind="string"))
    sent = 0
    body = json.dumps([{"x": "é" * 600}] * 50).encode()

    def ask(times: int) -> None:
        nonlocal sent
        for _ in range(times):
            here.ask(body)
            sent += 50

    ask(10)
    here.flush()
    with no_room(here):
        ask(100)
        here.flush()
    time.sleep(1.2)
    ask(10)
    assert here.logs().table.num_rows + here.dropped() == sent
    assert here.dropped() >= 50
    here.end(signal.SIGKILL)
    dropped = sent - read_logs(here.folder(), limit=10**6).table.num_rows
    here.start()
    assert here.logs().table.num_rows == sent - dropped


def test_a_disk_that_fills_leaves_no_file_for_each_try(
    no_room: Callable[..., Any], gateway: Callable[..., Any], routes: Any
) -> None:
    here = gateway().start(routes())
    here.ask([{"x": 1}])
    here.flush()
    with no_room(here):
        ask_for(here, 4.5, 2)
        here.flush()
        assert len(list(here.folder().iterdir())) <= 2


def test_a_segment_that_found_no_room_to_be_sealed_is_read_as_it_is(
    small_disk: None, gateway: Callable[..., Any], routes: Any
) -> None:
    here = gateway(inference_log_mib=32).start(routes())
    # A segment is sealed at 4 MiB; what it is made into finds no room beside it.
    filling = here.home / "inference" / "filling"
    filling.write_bytes(os.urandom(4 * 2**20 - 256 * 2**10))
    numbers = list(range(20_000))
    body = json.dumps([{"x": number} for number in numbers]).encode()
    for _ in range(4):
        here.ask(body)
    here.flush()
    found = here.logs().table.num_rows
    assert found + here.dropped() == 80_000
    assert found > 0
    assert not list(here.folder().glob("*.new"))
    filling.unlink()
    time.sleep(1.2)
    here.ask([{"x": -1}])
    assert here.logs(limit=1).table["in.x"].to_pylist() == [-1]
    # The next gateway seals what this one could not.
    here.end(signal.SIGTERM)
    here.start()
    here.ask([{"x": -2}])
    assert here.logs(limit=2).table["in.x"].to_pylist() == [-2, -1]
    assert here.logs().table.num_rows >= found + 2
    assert len(list(here.folder().glob("*.arrows"))) == 1
