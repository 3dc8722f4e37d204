"""What only a disk can do to a folder of blobs: fill up, fail at any moment, lose power, be read-only."""

import io
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from trivet.blobs import Blobs, open_blobs
from trivet.domain.digest import digest_of_bytes
from trivet.errors import Internal, Unavailable

DATA = os.urandom(1 << 20) * 5


@pytest.fixture
def local(tmp_path: Path) -> Blobs:
    return open_blobs(None, home=tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_blob_is_one_read_only_file_for_its_owner_alone(local: Blobs, folder: Path) -> None:
    digest, _ = local.put(io.BytesIO(DATA))
    local.put(io.BytesIO(DATA))
    assert names(folder) == [digest]
    assert stat.S_IMODE((folder / digest).stat().st_mode) == 0o400
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_fetching_from_the_same_disk_copies_nothing(local: Blobs, folder: Path, tmp_path: Path) -> None:
    digest, _ = local.put(io.BytesIO(DATA))
    local.fetch(digest, tmp_path / "target")
    assert (tmp_path / "target").samefile(folder / digest)


def test_fetching_to_another_disk_copies(local: Blobs, tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    digest, _ = local.put(io.BytesIO(DATA))
    target = other / f"trivet-test-{os.getpid()}" / "model"
    try:
        local.fetch(digest, target)
        assert target.read_bytes() == DATA
        assert names(target.parent) == ["model"]
    finally:
        shutil.rmtree(target.parent, ignore_errors=True)


def test_damage_is_found_on_reading_and_repaired_by_another_upload(local: Blobs, folder: Path, tmp_path: Path) -> None:
    digest, _ = local.put(io.BytesIO(DATA))
    (folder / digest).chmod(0o600)
    with (folder / digest).open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"worm")
    with pytest.raises(Internal) as caught, local.open(digest) as chunks:
        for _ in chunks:
            pass
    assert caught.value.reason == "corrupt_blob"
    assert caught.value.fix is not None
    assert caught.value.fix.startswith("upload the same file again, which repairs it")
    with pytest.raises(Internal, match="is damaged"):
        local.fetch(digest, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    local.put(io.BytesIO(DATA))
    local.fetch(digest, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA


def test_a_disk_that_fills_up_keeps_what_it_had_and_nothing_of_the_new(local: Blobs, folder: Path) -> None:
    kept, _ = local.put(io.BytesIO(b"kept"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, before[1]))
    try:
        with pytest.raises(Unavailable) as caught:
            local.put(io.BytesIO(DATA))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.reason == "disk_full"
    assert caught.value.what == f"No space left in {folder}"
    assert names(folder) == [kept]
    digest, _ = local.put(io.BytesIO(DATA))
    assert names(folder) == sorted([kept, digest])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("in the way")
    with pytest.raises(Unavailable, match=f"{tmp_path / 'blobs'} cannot be read from or written to") as caught:
        open_blobs(None, home=tmp_path).put(io.BytesIO(b"x"))
    assert caught.value.reason == "store_not_writable"


def test_files_of_a_killed_writer_are_swept_and_those_of_a_live_one_kept(local: Blobs, folder: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from trivet.blobs import open_blobs
        def source():
            yield b"half"
            print("writing", flush=True)
            sys.stdin.readline()
        open_blobs(None, home=Path(sys.argv[1])).put(source())
    """
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), folder.parent],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    dead, living = writers
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
    dead.kill()
    dead.wait()
    assert len(names(folder)) == 2
    digest, _ = local.put(io.BytesIO(b"another"))
    assert len(names(folder)) == 2
    living.communicate("go on\n", timeout=30)
    assert living.returncode == 0
    assert names(folder) == sorted([digest, digest_of_bytes(b"half")])
    for pipe in (dead.stdin, dead.stdout):
        assert pipe is not None
        pipe.close()


PUT = """
    import sys
    from pathlib import Path
    from trivet.blobs import open_blobs
    from trivet.errors import Unavailable
    blobs = open_blobs(None, home=Path(sys.argv[1]))
    try:
        blobs.put(iter([b"abc" * 100_000] * 3))
    except Unavailable as error:
        sys.exit(3)
"""
WRITTEN = b"abc" * 300_000
FAULTS = [
    ("mkdir", "ENOSPC"), ("flock", "EIO"), ("write", "ENOSPC"), ("write", "EIO"), ("fchmod", "EIO"),
    ("fsync", "EIO"), ("rename", "ENOSPC"), ("rename", "EIO"),
]  # fmt: skip


def injected(fault: str, home: Path, trace: Path) -> Iterator[tuple[int, int]]:
    """Runs `PUT` with the first such call failing, then with the second, until there is none to fail: (number, exit code)."""
    for number in range(1, 100):
        call = fault.partition(":")[0]
        command = ["strace", "-f", "-qq", "-o", trace, "-e", f"trace={call}", "-e", f"inject={fault}:when={number}"]
        code = subprocess.run(
            [*command, sys.executable, "-c", textwrap.dedent(PUT), home], check=False, timeout=60
        ).returncode
        if "INJECTED" not in trace.read_text() and "killed by" not in trace.read_text():
            assert code == 0
            return
        yield number, code
    pytest.fail("there is no end to it")


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes system calls fail")


@needs_strace
@pytest.mark.parametrize(("call", "error"), FAULTS)
def test_whichever_system_call_fails_the_blob_is_there_whole_or_not_at_all(
    call: str, error: str, tmp_path: Path
) -> None:
    failed = 0
    for number, code in injected(f"{call}:error={error}", tmp_path / "home", tmp_path / "trace"):
        failed += 1
        home = tmp_path / "home"
        assert code == 3, f"{call} number {number} failed unnoticed"
        found = names(home / "blobs") if (home / "blobs").is_dir() else []
        # After the rename the folder's own fsync may fail: the blob is there, and whole.
        assert found in ([], [digest_of_bytes(WRITTEN)])
        for name in found:
            assert (home / "blobs" / name).read_bytes() == WRITTEN
        shutil.rmtree(home, ignore_errors=True)
    assert failed


@needs_strace
@pytest.mark.parametrize("call", ["flock", "write", "fchmod", "fsync", "rename"])
def test_whenever_the_writer_is_killed_the_next_one_finds_no_half_blob(call: str, tmp_path: Path) -> None:
    killed = 0
    home = tmp_path / "home"
    for _, code in injected(f"{call}:signal=KILL", home, tmp_path / "trace"):
        killed += 1
        assert code == -signal.SIGKILL
        local = open_blobs(None, home=home)
        if local.has(digest_of_bytes(WRITTEN)):
            with local.open(digest_of_bytes(WRITTEN)) as chunks:
                assert b"".join(chunks) == WRITTEN
        digest, _ = local.put(io.BytesIO(b"next"))
        assert set(names(home / "blobs")) <= {digest, digest_of_bytes(WRITTEN)}
        shutil.rmtree(home)
    assert killed
