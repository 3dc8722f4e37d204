import hashlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.disk.files import remove_tree
from trivet.domain.package import PackageFile
from trivet.errors import BadPackage, NotFound, TooLarge, Unavailable
from trivet.packaging.limits import Limits
from trivet.packaging.store import (
    StoredPackage,
    discard_package,
    find_package,
    package_in_use,
    put_file,
    put_folder,
    put_zip,
)

LIMITS = Limits()
FILES = {"custom_inference.py": b"x = 1\n", "weights/a/w.bin": bytes(range(256)) * 9, "weights/b.bin": b""}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home" / "store"
    yield folder
    remove_tree(folder)


def write_zip(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return path


def write_folder(path: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_file(path: Path, data: bytes = b"\x08\x07onnx" * 999) -> Path:
    path.write_bytes(data)
    return path


def on_disk(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder, with its inode and the times at which it was last written and changed."""
    return {
        str(path): (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        for path in [folder, *folder.rglob("*")]
        for found in [path.lstat()]
    }


def check_whole(stored: StoredPackage, files: dict[str, bytes]) -> None:
    assert on_disk(stored.root) == files
    assert stored.manifest.files == tuple(
        PackageFile(path=name, size=len(files[name]), sha256=hashlib.sha256(files[name]).hexdigest())
        for name in sorted(files)
    )


WAYS = {
    "file": (put_file, lambda folder: write_file(folder / "My Model.ONNX"), {"model.onnx": b"\x08\x07onnx" * 999}),
    "zip": (put_zip, lambda folder: write_zip(folder / "m.zip"), FILES),
    "folder": (put_folder, lambda folder: write_folder(folder / "m"), FILES),
}


@pytest.fixture(params=WAYS)
def way(request, tmp_path: Path):
    put, make, files = WAYS[request.param]
    return put, make(tmp_path), files


def test_a_package_lies_under_its_digest_read_only(way, store: Path) -> None:
    put, path, files = way
    stored = put(path, store=store, limits=LIMITS)
    check_whole(stored, files)
    assert stored.root == store / stored.digest / "files"
    assert stored.file_name == path.name
    assert [found.name for found in store.iterdir()] == [stored.digest]
    assert sorted(found.name for found in (store / stored.digest).iterdir()) == ["files", "manifest.json"]
    for found in [store / stored.digest, *(store / stored.digest).rglob("*")]:
        assert stat.S_IMODE(found.stat().st_mode) == (0o555 if found.is_dir() else 0o444), found


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(mask: int, way, store: Path) -> None:
    put, path, _ = way
    before = os.umask(mask)
    try:
        stored = put(path, store=store, limits=LIMITS)
    finally:
        os.umask(before)
    for found in [store / stored.digest, *(store / stored.digest).rglob("*")]:
        assert stat.S_IMODE(found.stat().st_mode) == (0o555 if found.is_dir() else 0o444), found


def test_the_digest_is_that_of_the_bytes(store: Path, tmp_path: Path) -> None:
    for put, path in ((put_file, write_file(tmp_path / "m.onnx")), (put_zip, write_zip(tmp_path / "m.zip"))):
        stored = put(path, store=store, limits=LIMITS)
        assert stored.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert stored.size == path.stat().st_size


def test_a_folders_digest_depends_on_files_and_not_on_name_or_dates(store: Path, tmp_path: Path) -> None:
    one = put_folder(write_folder(tmp_path / "one"), store=store, limits=LIMITS)
    other = write_folder(tmp_path / "other", dict(reversed(FILES.items())))
    os.utime(other / "custom_inference.py", (1, 1))
    (other / "__pycache__").mkdir()
    assert put_folder(other, store=store, limits=LIMITS).digest == one.digest
    (other / "custom_inference.py").write_bytes(b"x = 2\n")
    assert put_folder(other, store=store, limits=LIMITS).digest != one.digest


def test_storing_the_same_bytes_again_writes_nothing(way, store: Path, tmp_path: Path) -> None:
    put, path, _ = way
    first = put(path, store=store, limits=LIMITS)
    before = snapshot(store)
    assert put(path, store=store, limits=LIMITS) == first
    renamed = path.rename(tmp_path / f"other{path.suffix}")
    again = put(renamed, store=store, limits=LIMITS)
    assert (again.digest, again.root, again.manifest) == (first.digest, first.root, first.manifest)
    assert again.file_name == renamed.name
    assert snapshot(store) == before


def remove_a_file(root: Path) -> None:
    file = next(path for path in sorted(root.rglob("*")) if path.is_file())
    file.parent.chmod(0o755)
    file.unlink()


def shorten_a_file(root: Path) -> None:
    file = next(path for path in sorted(root.rglob("*")) if path.is_file() and path.stat().st_size)
    file.chmod(0o644)
    os.truncate(file, 1)


def change_a_byte(root: Path) -> None:
    file = next(path for path in sorted(root.rglob("*")) if path.is_file() and path.stat().st_size)
    file.chmod(0o644)
    time.sleep(0.02)  # a file system's clock is coarse
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])


def put_a_link_in_its_place(root: Path) -> None:
    file = next(path for path in sorted(root.rglob("*")) if path.is_file())
    copy = write_file(root.parent.parent.parent / "copy", file.read_bytes())
    remove_a_file(root)
    file.symlink_to(copy)


def remove_the_manifest(root: Path) -> None:
    root.parent.chmod(0o755)
    (root.parent / "manifest.json").unlink()


def spoil_the_manifest(root: Path) -> None:
    (root.parent / "manifest.json").chmod(0o644)
    (root.parent / "manifest.json").write_text('{"files": [{"path": 3}]}')


def empty_it(root: Path) -> None:
    remove_tree(root.parent)
    root.parent.mkdir()


def put_a_file_in_its_place(root: Path) -> None:
    remove_tree(root.parent)
    root.parent.write_text("?")


@pytest.mark.parametrize(
    "damage",
    [
        remove_a_file,
        shorten_a_file,
        change_a_byte,
        put_a_link_in_its_place,
        remove_the_manifest,
        spoil_the_manifest,
        empty_it,
        put_a_file_in_its_place,
    ],
)
def test_a_damaged_package_is_replaced(damage, way, store: Path) -> None:
    put, path, files = way
    first = put(path, store=store, limits=LIMITS)
    damage(first.root)
    again = put(path, store=store, limits=LIMITS)
    assert again == first
    check_whole(again, files)
    assert [found.name for found in store.iterdir()] == [first.digest]


def test_the_same_bytes_in_another_form_are_another_package(store: Path, tmp_path: Path) -> None:
    """Otherwise a forged manifest could replace a folder in advance."""
    folder = write_folder(tmp_path / "m")
    stored = put_folder(folder, store=store, limits=LIMITS)
    remove_tree(store)
    rows = [f'{{"path":"{f.path}","sha256":"{f.sha256}","size":{f.size}}}' for f in stored.manifest.files]
    forged = write_file(tmp_path / "forged.onnx", f"[{','.join(rows)}]".encode())
    assert put_file(forged, store=store, limits=LIMITS).digest == stored.digest
    check_whole(put_folder(folder, store=store, limits=LIMITS), FILES)


def test_a_file_with_another_suffix_is_stored_with_it(store: Path, tmp_path: Path) -> None:
    for name, kept in (("m.bin", "model.bin"), ("m.onnx", "model.onnx"), ("m.a b", "model"), ("model", "model")):
        stored = put_file(write_file(tmp_path / name), store=store, limits=LIMITS)
        check_whole(stored, {kept: b"\x08\x07onnx" * 999})


def test_an_archive_given_as_a_plain_file_is_refused(store: Path, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "model.onnx")
    with pytest.raises(BadPackage, match="'model.onnx' is a ZIP archive") as refused:
        put_file(path, store=store, limits=LIMITS)
    assert refused.value.fix == "give it a name that ends in .zip"


@pytest.mark.parametrize("put", [put_file, put_zip, put_folder])
def test_a_missing_path_is_reported(put, store: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="File not found: .*nowhere"):
        put(tmp_path / "nowhere", store=store, limits=LIMITS)
    assert not store.exists()


def test_folders_devices_and_pipes_are_not_files(store: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "pipe"):
        for put in (put_file, put_zip):
            with pytest.raises(BadPackage, match="is not a file"):
                put(path, store=store, limits=LIMITS)


def test_a_file_is_not_a_folder(store: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Not a directory"):
        put_folder(write_file(tmp_path / "m"), store=store, limits=LIMITS)


def test_the_current_folder_has_a_name(store: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "fraud")
    here = Path.cwd()
    os.chdir(tmp_path / "fraud")
    try:
        assert put_folder(Path(), store=store, limits=LIMITS).file_name == "fraud"
    finally:
        os.chdir(here)


def test_a_package_that_is_too_large_leaves_nothing_behind(way, store: Path) -> None:
    put, path, _ = way
    with pytest.raises(TooLarge):
        put(path, store=store, limits=Limits(max_bytes=200))
    assert not store.exists() or list(store.iterdir()) == []


def test_an_archive_found_damaged_half_way_leaves_nothing_behind(store: Path, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.zip", {"a": b"a" * 99, "b": os.urandom(999)})
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadPackage, match="damaged|checksum"):
        put_zip(path, store=store, limits=LIMITS)
    assert list(store.iterdir()) == []


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.lists(st.from_regex(r"[a-z][a-z-]{0,2}", fullmatch=True), min_size=1, max_size=4).map("/".join),
        st.binary(max_size=50),
        min_size=1,
        max_size=8,
    )
)
def test_a_folder_and_its_archive_give_the_same_files(tmp_path_factory, files: dict[str, bytes]) -> None:
    files = {n: d for n, d in files.items() if not any(other.startswith(f"{n}/") for other in files)}
    here = tmp_path_factory.mktemp("trees")
    try:
        zipped = put_zip(write_zip(here / "m.zip", files), store=here / "store", limits=LIMITS)
        folder = put_folder(write_folder(here / "m", files), store=here / "store", limits=LIMITS)
        assert zipped.manifest == folder.manifest
        check_whole(zipped, {file.path: (zipped.root / file.path).read_bytes() for file in zipped.manifest.files})
        assert sorted(on_disk(folder.root).values()) == sorted(files.values())
        assert on_disk(folder.root) == on_disk(zipped.root)
    finally:
        remove_tree(here / "store")


def test_threads_that_store_the_same_package_share_it(way, store: Path) -> None:
    put, path, files = way
    found: list[StoredPackage] = []
    threads = [threading.Thread(target=lambda: found.append(put(path, store=store, limits=LIMITS))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({stored.root for stored in found}) == 1
    check_whole(found[0], files)
    assert [left.name for left in store.iterdir()] == [found[0].digest]


PROGRAM = textwrap.dedent("""
    import resource, sys
    from pathlib import Path
    from trivet.errors import TrivetError
    from trivet.packaging.limits import Limits
    from trivet.packaging.store import put_zip
    archive, store, largest = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        print(put_zip(archive, store=store, limits=Limits(max_ratio=10_000)).digest, flush=True)
    except TrivetError as error:
        print(type(error).__name__, error.reason, error, flush=True)
""")


@pytest.fixture
def another_process() -> Iterator[Callable[..., subprocess.Popen]]:
    """`another_process(archive, store)` is a process that will put the archive into the store after `go`."""
    with ExitStack() as processes:

        def start(archive: Path, store: Path, *, largest: int = 0) -> subprocess.Popen:
            command = [sys.executable, "-c", PROGRAM, str(archive), str(store), str(largest)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes.enter_context(process)
            processes.callback(process.kill)
            assert process.stdout.readline() == "ready\n"
            return process

        yield start


def go(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def ended(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=60)
    return output


def test_processes_that_store_the_same_package_at_once_share_it(another_process, store: Path, tmp_path: Path) -> None:
    files = {f"f{number}": os.urandom(1000) for number in range(200)}
    archive = write_zip(tmp_path / "m.zip", files)
    processes = [another_process(archive, store) for _ in range(3)]
    for process in processes:
        go(process)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert [ended(process).strip() for process in processes] == [digest] * 3
    assert [found.name for found in store.iterdir()] == [digest]
    check_whole(put_zip(archive, store=store, limits=LIMITS), files)


def test_two_processes_that_repair_the_same_package_both_get_it(another_process, store: Path, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "m.zip")
    remove_a_file(put_zip(archive, store=store, limits=LIMITS).root)
    processes = [another_process(archive, store) for _ in range(2)]
    for process in processes:
        go(process)
    assert len({ended(process) for process in processes}) == 1
    before = snapshot(store)
    check_whole(put_zip(archive, store=store, limits=LIMITS), FILES)
    assert snapshot(store) == before


@pytest.fixture
def large_archive(tmp_path: Path) -> Path:
    """An archive that is slow to unpack: many small files, then a large one."""
    files = {f"f{number}": b"x" * 100 for number in range(300)} | {"large": bytes(64 << 20)}
    return write_zip(tmp_path / "large.zip", files)


@pytest.mark.parametrize("files_seen", [1, 100, 301])
def test_a_killed_writer_leaves_only_a_draft_that_is_removed_later(
    another_process, files_seen: int, store: Path, large_archive: Path, tmp_path: Path
) -> None:
    process = another_process(large_archive, store)
    go(process)
    deadline = time.monotonic() + 30
    while len(list(store.glob("tmp-*/files/*"))) < files_seen and time.monotonic() < deadline:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [found.name for found in store.iterdir() if not found.name.startswith("tmp-")] == []
    assert len(list(store.glob("tmp-*"))) == 1
    stored = put_zip(write_zip(tmp_path / "m.zip"), store=store, limits=LIMITS)
    assert [found.name for found in store.iterdir()] == [stored.digest]


def test_a_draft_of_a_live_process_is_not_removed(
    another_process, store: Path, large_archive: Path, tmp_path: Path
) -> None:
    process = another_process(large_archive, store)
    go(process)
    deadline = time.monotonic() + 30
    while not list(store.glob("tmp-*/files/*")) and time.monotonic() < deadline:
        time.sleep(0.0005)
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)  # returns once it has stopped
    (making,) = store.glob("tmp-*")
    before = len(on_disk(making))
    put_zip(write_zip(tmp_path / "m.zip"), store=store, limits=LIMITS)
    assert len(on_disk(making)) == before
    process.send_signal(signal.SIGCONT)
    digest = hashlib.sha256(large_archive.read_bytes()).hexdigest()
    assert ended(process).strip() == digest
    assert not making.exists()
    assert (store / digest / "files" / "large").stat().st_size == 64 << 20


def test_a_partial_write_is_an_error_that_names_the_folder(another_process, store: Path, large_archive: Path) -> None:
    # Not a multiple of a page: the last write that fits is written in part.
    process = another_process(large_archive, store, largest=3_000_001)
    go(process)
    output = ended(process)
    assert output.startswith("Unavailable disk_full No space left in ")
    assert str(store) in output
    assert "File too large" in output
    assert "fix free some space there" in output
    assert list(store.iterdir()) == []


def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path: Path, large_archive: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    inside = f'{sys.executable} -c "$PROGRAM" {large_archive} {disk / "store"} 0 < /dev/null; ls -A {disk / "store"}'
    result = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"{' '.join(command)} && {inside}"],
        env={**os.environ, "PROGRAM": PROGRAM},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "ready" not in result.stdout:
        pytest.skip(f"cannot mount a disk: {result.stderr.strip()}")
    lines = result.stdout.splitlines()
    assert lines[1].startswith(f"Unavailable disk_full No space left in {disk / 'store'}")
    assert "No space left on device" in lines[1]
    assert len(lines) == 3  # and nothing that `ls` would list


def test_a_store_that_cannot_be_created_is_named_in_the_error(tmp_path: Path) -> None:
    in_the_way = write_file(tmp_path / "store")
    with pytest.raises(Unavailable, match="store cannot be read from or written to") as refused:
        put_zip(write_zip(tmp_path / "m.zip"), store=in_the_way, limits=LIMITS)
    assert refused.value.reason == "store_not_writable"
    assert refused.value.fix


def test_no_descriptor_is_left_open(way, store: Path) -> None:
    put, path, _ = way
    before = len(list(Path("/proc/self/fd").iterdir()))
    put(path, store=store, limits=LIMITS)
    put(path, store=store, limits=LIMITS)
    with pytest.raises(TooLarge):
        put(path, store=store, limits=Limits(max_bytes=10))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_removing_a_package_follows_no_links(store: Path, tmp_path: Path) -> None:
    precious = write_folder(tmp_path / "precious")
    stored = put_zip(write_zip(tmp_path / "m.zip"), store=store, limits=LIMITS)
    stored.root.chmod(0o755)
    (stored.root / "link").symlink_to(precious)
    precious.chmod(0o555)
    remove_tree(store / stored.digest)
    assert not (store / stored.digest).exists()
    assert on_disk(precious) == FILES
    assert stat.S_IMODE(precious.stat().st_mode) == 0o555
    (tmp_path / "link").symlink_to(precious)
    remove_tree(tmp_path / "link")
    assert on_disk(precious) == FILES


def test_a_package_in_use_is_not_discarded(way, store: Path) -> None:
    put, path, files = way
    stored = put(path, store=store, limits=LIMITS)
    with package_in_use(store, stored.digest):
        discard_package(store, stored.digest)
        check_whole(stored, files)
    discard_package(store, stored.digest)
    assert find_package(store, stored.digest) is None
    discard_package(store, stored.digest)
    with pytest.raises(Unavailable), package_in_use(store, stored.digest):
        pass
