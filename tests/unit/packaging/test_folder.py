import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trivet.errors import BadPackage, TooLarge
from trivet.packaging.folder import read_folder
from trivet.packaging.limits import Limits
from trivet.packaging.paths import Entry


@contextmanager
def entries(folder: Path, *, limits: Limits = Limits()) -> Iterator[list[Entry]]:  # noqa: B008
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield read_folder(descriptor, limits=limits)
    finally:
        os.close(descriptor)


def contents(folder: Path, *, limits: Limits = Limits()) -> dict[str, bytes]:  # noqa: B008
    with entries(folder, limits=limits) as found:
        return {entry.path: b"".join(entry.chunks()) for entry in found}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_a_folder_gives_its_files_in_order_without_system_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "b.py": b"b",
            "a/z.bin": b"z" * (3 << 20),
            "a/__pycache__/z.pyc": b"",
            "__MACOSX/b.py": b"",
            "a/._z.bin": b"",
            "old.PYC": b"",
            ".DS_Store": b"",
        },
    )
    found = contents(tmp_path)
    assert found == {"a/z.bin": b"z" * (3 << 20), "b.py": b"b"}
    assert list(found) == ["a/z.bin", "b.py"]


def test_a_single_top_folder_is_stripped(tmp_path: Path) -> None:
    assert contents(write(tmp_path, {"top/a.py": b"1", "top/b/c.py": b"2"})) == {"a.py": b"1", "b/c.py": b"2"}


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(BadPackage, match="The package holds no files"):
        contents(tmp_path)


@pytest.mark.parametrize("target", ["/etc/passwd", "model.py", "nowhere", "."])
def test_links_are_refused_wherever_they_lead(target: str, tmp_path: Path) -> None:
    write(tmp_path, {"model.py": b""})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to(target)
    with pytest.raises(BadPackage, match="holds a symbolic link") as refused:
        contents(tmp_path)
    assert refused.value.path == "a/link"


def test_pipes_and_sockets_are_refused(tmp_path: Path, monkeypatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadPackage, match="device, pipe or socket"):
        contents(tmp_path)
    (tmp_path / "pipe").unlink()
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(BadPackage, match="device, pipe or socket"):
            contents(tmp_path)


@pytest.mark.parametrize("name", [b"a\\b", b"a\nb", b"\xff\xfe", b"C:x", "a\u202eb".encode()])
def test_names_that_are_invalid_in_archives_are_refused(name: bytes, tmp_path: Path) -> None:
    Path(tmp_path, os.fsdecode(name)).write_bytes(b"")
    with pytest.raises(BadPackage, match="A name in the package") as refused:
        contents(tmp_path)
    assert str(refused.value.path).isprintable()


def test_names_that_clash_elsewhere_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"Model.py": b"", "model.py": b""})
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system has one case")
    with pytest.raises(BadPackage, match="equal on many systems"):
        contents(tmp_path)


def test_limits_hold_for_folders_too(tmp_path: Path) -> None:
    write(tmp_path, {"a/b/c": b"", "d": b"", "e": b""})
    with pytest.raises(TooLarge, match="3 names deep"):
        contents(tmp_path, limits=Limits(max_depth=2))
    with pytest.raises(TooLarge, match="more than 2 files"):
        contents(tmp_path, limits=Limits(max_files=2))
    write(tmp_path, {f"__pycache__/{number}": b"" for number in range(9)})
    with pytest.raises(TooLarge, match="has more than 8 entries"):
        contents(tmp_path, limits=Limits(max_files=2))


def test_an_endless_folder_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "/".join("a" * 60)).mkdir(parents=True)
    with pytest.raises(TooLarge, match="25 names deep"):
        contents(tmp_path)


@pytest.mark.parametrize("swapped", ["a", "a/model.py"])
def test_a_file_replaced_by_a_link_after_the_check_is_refused(swapped: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "package", {"a/model.py": b"mine", "b": b""})
    write(tmp_path / "elsewhere", {"model.py": b"secret"})
    with entries(folder) as found:
        path = folder / swapped
        path.rename(folder / "aside")
        path.symlink_to(tmp_path / "elsewhere" / ("model.py" if swapped.endswith(".py") else "."))
        with pytest.raises(BadPackage, match="cannot be read") as refused:
            b"".join(found[0].chunks())
    assert refused.value.path == "a/model.py"


def test_a_file_replaced_by_a_pipe_after_the_check_does_not_hang(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": b"mine"})
    with entries(tmp_path) as found:
        (tmp_path / "model.py").unlink()
        os.mkfifo(tmp_path / "model.py")
        with pytest.raises(BadPackage, match="changed while it was read"):
            b"".join(found[0].chunks())


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    write(tmp_path, {"a/b/c/d.py": b"1", "e.py": b"2"})
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        contents(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
