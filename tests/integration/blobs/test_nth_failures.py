"""Whichever file operation of `put` fails, or is its last, the blob is there whole or not at all, and the store goes on."""

import io
from pathlib import Path

import pytest

from trivet.blobs import Blobs, open_blobs
from trivet.domain.digest import digest_of_bytes
from trivet.errors import Unavailable

PIECES = [b"abc" * 100_000] * 3
DIGEST = digest_of_bytes(b"".join(PIECES))
OLD = digest_of_bytes(b"put before")
REST = "tmp-0123456789abcdef"
REASONS = {"ENOSPC": "disk_full", "EIO": "store_not_writable", "EMFILE": "too_many_open_files"}
BEFORE = ["no folder", "another blob", "the same blob", "what a dead writer left"]


def names(home: Path) -> set[str]:
    folder = home / "blobs"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def assert_whole_or_not_there(store: Blobs, home: Path) -> None:
    assert store.has(DIGEST) == (DIGEST in names(home))
    if store.has(DIGEST):
        with store.open(DIGEST) as chunks:
            assert b"".join(chunks) == b"".join(PIECES)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("kind", ["ENOSPC", "EIO", "EMFILE"])
def test_whichever_operation_fails_the_blob_is_there_whole_or_not_at_all(nth_failure, tmp_path, kind, before):
    for fault in nth_failure.each(kind):
        home = tmp_path / str(fault.number)
        store = prepared(home, before)
        descriptors = open_files()
        error = None
        with fault:
            try:
                store.put(iter(PIECES))
            except Unavailable as caught:
                error = caught
        # What a dead writer left may stay for the next one to remove.
        assert (error is not None) == (fault.reached and REST not in fault.operation), str(fault)
        if error is not None:
            assert error.what, str(fault)
            assert error.fix, str(fault)
            assert error.reason == REASONS[kind], str(fault)
        assert open_files() == descriptors, f"{fault} left a file open"
        # After the rename the folder's own fsync may fail: the blob is there, and whole.
        assert names(home) <= {OLD, DIGEST, REST}, str(fault)
        assert_whole_or_not_there(store, home)
        assert_goes_on(store, home)
    assert fault.number > 1


@pytest.mark.parametrize("before", BEFORE)
def test_wherever_the_writer_dies_the_next_one_finds_no_half_blob(nth_failure, tmp_path, before):
    for fault in nth_failure.each("crash"):
        home = tmp_path / str(fault.number)
        store = prepared(home, before)
        code = fault.in_child(lambda store=store: store.put(iter(PIECES)))
        assert code == (nth_failure.CRASHED if fault.reached else 0), str(fault)
        assert_whole_or_not_there(store, home)
        assert_goes_on(store, home)
    assert fault.number > 5


def test_a_disk_that_takes_a_part_of_a_write_gets_the_rest(nth_failure, tmp_path):
    for fault in nth_failure.each("short write"):
        home = tmp_path / str(fault.number)
        store = open_blobs(None, home=home)
        with fault:
            assert store.put(iter(PIECES)) == (DIGEST, sum(map(len, PIECES)))
        assert names(home) == {DIGEST}, str(fault)
        assert_whole_or_not_there(store, home)
    assert fault.number > len(PIECES)


def prepared(home: Path, before: str) -> Blobs:
    store = open_blobs(None, home=home)
    if before == "another blob":
        store.put(io.BytesIO(b"put before"))
    if before == "the same blob":
        store.put(iter(PIECES))
    if before == "what a dead writer left":
        (home / "blobs").mkdir(parents=True)
        (home / "blobs" / REST).write_bytes(PIECES[0])
    return store


def assert_goes_on(store: Blobs, home: Path) -> None:
    before = names(home) & {OLD}
    assert store.put(iter(PIECES))[0] == DIGEST
    assert names(home) == before | {DIGEST}
    assert_whole_or_not_there(store, home)
