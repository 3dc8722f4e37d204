"""A worker's log."""

from hypothesis import given
from hypothesis import strategies as st

from trivet.disk.log_file import LogFile
from trivet.workers.log import WorkerLog


def test_lines_are_put_together_from_pieces(tmp_path):
    log = WorkerLog(LogFile(tmp_path / "logs" / "m.log"))
    for piece in (b"one\ntw", b"o\n", b"\xff three"):
        log.feed(piece)
    log.close()
    assert list(log.lines) == ["one", "two", "\ufffd three"]
    assert (tmp_path / "logs" / "m.log").read_bytes() == b"one\ntwo\n\xff three\n"


def test_the_last_lines_are_kept_and_quoted(tmp_path):
    log = WorkerLog(LogFile(tmp_path / "m.log"))
    log.feed(b"".join(b"%d\n" % number for number in range(1000)))
    assert len(log.lines) == 200
    assert log.tail(lines=2) == "    998\n    999"


def test_what_the_fault_handler_lists_is_not_quoted(tmp_path):
    log = WorkerLog(LogFile(tmp_path / "m.log"))
    log.feed(b"words\n\nFatal Python error: Aborted\n\nExtension modules: a, b, c\n")
    assert log.tail() == "    words\n    Fatal Python error: Aborted"


def test_a_line_without_end_takes_no_memory(tmp_path):
    log = WorkerLog(LogFile(tmp_path / "m.log"))
    for _ in range(100):
        log.feed(b"x" * 10_000)
    log.feed(b"\nnext\n")
    assert [len(line) for line in log.lines] == [4096, 4]


def test_a_full_file_is_put_aside_once(tmp_path):
    file = LogFile(tmp_path / "m.log", max_bytes=100)
    for _ in range(50):
        file.append(b"x" * 30 + b"\n")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) <= {"m.log", "m.log.1"}
    assert all(size < 200 for size in sizes.values())


def test_a_disk_that_takes_nothing_loses_the_file_only(tmp_path):
    (tmp_path / "occupied").write_text("a file where a folder is wanted")
    log = WorkerLog(LogFile(tmp_path / "occupied" / "m.log"))
    log.feed(b"line\n")
    assert list(log.lines) == ["line"]


@given(st.lists(st.binary(max_size=20)))
def test_pieces_never_change_the_lines(pieces):
    class Nowhere:
        def append(self, data):
            pass

    whole, split = WorkerLog(Nowhere()), WorkerLog(Nowhere())
    whole.feed(b"".join(pieces))
    for piece in pieces:
        split.feed(piece)
    whole.close()
    split.close()
    assert whole.lines == split.lines
