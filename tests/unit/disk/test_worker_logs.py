"""The lines of workers' logs, with their times."""

import json
from pathlib import Path

import pytest

from trivet.disk.worker_logs import FAILURES, MOST_READ_BYTES, find_failures, read_log, stamp_logs


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "churn-01234567.log"


def write(log: Path, text: str, *, at_s: float) -> None:
    """Append, and stamp as the supervisor does."""
    with log.open("a") as file:
        file.write(text)
    stamp_logs(log.parent, now_s=at_s)


def empty(log: Path) -> None:
    """As `FileLog.trim` does when the log is full."""
    log.with_name(log.name + ".1").write_bytes(log.read_bytes())
    log.write_bytes(b"")


def test_each_line_has_the_time_until_which_it_was_written(log: Path) -> None:
    write(log, "loading the model of churn\nready to answer requests\n", at_s=100.0)
    write(log, 'Traceback (most recent call last):\n  File "model.py", line 3\n', at_s=200.0)
    with log.open("a") as file:
        file.write("not stamped yet\n")
    found = read_log(log, limit=10)
    assert found.lines == [
        (100.0, "loading the model of churn"),
        (100.0, "ready to answer requests"),
        (200.0, "Traceback (most recent call last):"),
        (200.0, '  File "model.py", line 3'),
        (None, "not stamped yet"),
    ]
    assert found.end == log.stat().st_size
    assert [line.text for line in read_log(log, limit=2).lines] == ['  File "model.py", line 3', "not stamped yet"]
    assert [line.at_s for line in read_log(log, limit=10, since_s=150.0).lines] == [200.0, 200.0, None]


def test_a_reader_that_follows_gets_each_line_once(log: Path) -> None:
    write(log, "the first line of the log\nhalf a li", at_s=100.0)
    first = read_log(log, limit=10)
    assert [line.text for line in first.lines] == ["the first line of the log"]
    write(log, "ne\nand the next line after it\n", at_s=110.0)
    second = read_log(log, limit=10, after=first.end)
    assert [line.text for line in second.lines] == ["half a line", "and the next line after it"]
    assert read_log(log, limit=10, after=second.end) == ([], second.end)


def test_a_log_that_was_emptied_goes_on_where_it_was(log: Path) -> None:
    write(log, "a line of the older file, one\na line of the older file, two\n", at_s=100.0)
    first = read_log(log, limit=10)
    with log.open("a") as file:
        file.write("the last line of the older file\n")
    empty(log)
    write(log, "the first line of the newer file\n", at_s=200.0)
    followed = read_log(log, limit=10, after=first.end)
    assert [line.text for line in followed.lines] == [
        "the last line of the older file",
        "the first line of the newer file",
    ]
    everything = read_log(log, limit=10).lines
    assert [line.at_s for line in everything] == [100.0, 100.0, None, 200.0]


def test_small_writes_are_stamped_once_a_minute(log: Path) -> None:
    for second in range(0, 120, 2):
        write(log, ".\n", at_s=1000.0 + second)
    stamps = log.with_name(log.name + ".times").stat().st_size // 16
    assert 2 <= stamps <= 6
    times = [line.at_s for line in read_log(log, limit=1000).lines if line.at_s is not None]
    assert times == sorted(times)


def test_a_large_log_is_read_from_its_end(log: Path) -> None:
    line = b"x" * 99 + b"\n"
    log.write_bytes(line * (2 * MOST_READ_BYTES // 100))
    found = read_log(log, limit=1_000_000)
    assert MOST_READ_BYTES - 200 <= len(found.lines) * 100 <= MOST_READ_BYTES
    assert {line.text for line in found.lines} == {"x" * 99}
    assert found.end == log.stat().st_size


def test_odd_bytes_and_long_lines_are_shown_as_text(log: Path) -> None:
    log.write_bytes(b"\xff\x00 odd\r\n" + b"y" * 10_000 + b"\n")
    found = read_log(log, limit=10)
    assert found.lines[0].text == "\ufffd\x00 odd"
    assert len(found.lines[1].text) == 4096


def test_a_log_that_is_not_there_is_empty(log: Path) -> None:
    assert read_log(log, limit=10) == ([], 0)
    stamp_logs(log.parent / "nowhere", now_s=1.0)


def test_the_traceback_of_a_request_is_found_by_its_id_and_version(log: Path) -> None:
    records = [
        {"at_s": 1.0, "request_id": "r1", "pipeline": "p", "versions": ["v"], "error": "no", "trace": "Traceback\nno"},
        {"at_s": 2.0, "request_id": "r2", "pipeline": "p", "versions": ["v"], "error": "no", "trace": "r1"},
        {"at_s": 3.0, "request_id": "r1", "pipeline": "q", "versions": ["w"], "error": "no", "trace": "other"},
    ]
    lines = "\n".join(map(json.dumps, records))
    (log.parent / FAILURES).write_text(f'{lines}\n{{"half r1')
    found = find_failures(log.parent, "r1", version="v")
    assert found == [(1.0, "request r1 of pipeline p"), (1.0, "Traceback"), (1.0, "no")]
    assert find_failures(log.parent, "r", version="v") == []
    assert find_failures(log.parent / "nowhere", "r1", version="v") == []
