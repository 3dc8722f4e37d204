import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import BadPackage, TooLarge, TrivetError
from trivet.packaging.archive import read_archive
from trivet.packaging.limits import Budget, Limits
from trivet_tests.hostile.corpus import entries
from trivet_tests.hostile.entry import within_bounds
from trivet_tests.hostile.zips import ZIP64_EXTRA, Raw, archive, mode, zipped

LIMITS = Limits()


def contents(data: bytes, *, tmp_path: Path, limits: Limits = LIMITS) -> dict[str, bytes]:
    path = tmp_path / "model.zip"
    path.write_bytes(data)
    budget = Budget(limits, packed_bytes=len(data))
    with path.open("rb") as file:
        found = {}
        for entry in read_archive(file, limits=limits):
            budget.begin(entry.name)
            pieces = []
            for chunk in entry.chunks():
                budget.spend(len(chunk))
                pieces.append(chunk)
            found[entry.path] = b"".join(pieces)
        return found


@pytest.mark.parametrize("hostile", entries("zip"), ids=str)
def test_an_archive_is_refused_with_its_reason_within_its_bounds(hostile, tmp_path: Path) -> None:
    data = hostile.make()
    with within_bounds(hostile, size=len(data)), pytest.raises(BadPackage) as refused:
        contents(data, tmp_path=tmp_path)
    error = refused.value
    assert hostile.outcome in error.message
    assert error.fix
    if hostile.about["is_zip"]:
        assert error.path is not None
        assert all(character.isprintable() for character in error.path)
    else:
        assert error.message.startswith("Not a valid ZIP file: ")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_cut_archive_is_refused_wherever_it_is_cut(method: int, tmp_path: Path) -> None:
    whole = zipped({"a/model.py": b"x = 1\n" * 9, "a/data.bin": bytes(range(99))}, method=method)
    for length in range(len(whole)):
        with pytest.raises(BadPackage, match="Not a valid ZIP file"):
            contents(whole[:length], tmp_path=tmp_path)


@given(at=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_flipped_byte_gives_an_error_or_the_same_files(tmp_path_factory, at: int, value: int) -> None:
    files = {"model.py": b"x = 1\n" * 9, "b/data.bin": bytes(range(99))}
    data = bytearray(zipped(files))
    data[at % len(data)] = value
    try:
        found = contents(bytes(data), tmp_path=tmp_path_factory.mktemp("flipped"))
    except TrivetError:
        return
    assert sorted(found.values()) == sorted(files.values())


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(tmp_path_factory, data: bytes) -> None:
    with pytest.raises(TrivetError):
        contents(b"PK\3\4" + data, tmp_path=tmp_path_factory.mktemp("random"))


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    data = zipped({f"f{number}": b"" for number in range(6)})
    assert len(contents(data, tmp_path=tmp_path, limits=Limits(max_files=6))) == 6
    with pytest.raises(TooLarge, match="more than 5 files"):
        contents(data, tmp_path=tmp_path, limits=Limits(max_files=5))


def test_folders_that_no_entry_names_are_counted(tmp_path: Path) -> None:
    data = zipped({f"a{number}/b/c/f": b"" for number in range(4)})
    with pytest.raises(TooLarge, match="more than 11 folders"):
        contents(data, tmp_path=tmp_path, limits=Limits(max_files=11))


def test_endless_system_files_are_refused(tmp_path: Path) -> None:
    data = zipped({"model.py": b""} | {f"__MACOSX/f{number}": b"" for number in range(9)})
    with pytest.raises(TooLarge, match="has 10 entries"):
        contents(data, tmp_path=tmp_path, limits=Limits(max_files=2))


def test_an_endless_table_of_contents_is_never_read_whole(tmp_path: Path) -> None:
    data = zipped({f"{'x' * 200}{number}": b"" for number in range(1000)})
    with pytest.raises(TooLarge, match="table of contents is larger than 128 KiB"):
        contents(data, tmp_path=tmp_path, limits=Limits(max_directory_bytes=1))


def test_unpacked_bytes_are_counted_while_reading(tmp_path: Path) -> None:
    data = zipped({"a": b"x" * 600, "b": b"y" * 600})
    assert len(contents(data, tmp_path=tmp_path, limits=Limits(max_bytes=1200))) == 2
    with pytest.raises(TooLarge, match="holds more than 1.2 KiB") as refused:
        contents(data, tmp_path=tmp_path, limits=Limits(max_bytes=1199))
    assert refused.value.path == "b"


def test_one_large_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="larger than 599 bytes") as refused:
        contents(zipped({"a": b"x" * 600}), tmp_path=tmp_path, limits=Limits(max_file_bytes=599))
    assert refused.value.path == "a"


def test_a_zip_bomb_is_stopped_by_its_ratio(tmp_path: Path) -> None:
    bomb = zipped({"zeros": bytes(1 << 20)})
    limits = Limits(ratio_from_bytes=1 << 16)
    with pytest.raises(TooLarge, match="more than 200 times its size") as refused:
        contents(bomb, tmp_path=tmp_path, limits=limits)
    assert "zip -0" in str(refused.value.fix)
    assert contents(bomb, tmp_path=tmp_path)["zeros"] == bytes(1 << 20)


def test_a_zip_bomb_is_unpacked_in_small_pieces(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    path.write_bytes(zipped({"zeros": bytes(40 << 20)}))
    with path.open("rb") as file:
        (entry,) = read_archive(file, limits=LIMITS)
        assert max(len(chunk) for chunk in entry.chunks()) <= 1 << 20


@pytest.mark.parametrize(
    ("name", "limits", "expected"),
    [
        ("a/b/c", Limits(max_depth=2), "3 names deep"),
        ("abcdef", Limits(max_name_bytes=5), "longer than 5 bytes"),
        ("\u00e9\u00e9\u00e9", Limits(max_name_bytes=5), "longer than 5 bytes"),
        ("abc/def", Limits(max_path_bytes=6), "path in the package is longer than 6 bytes"),
    ],
)
def test_long_and_deep_names_are_refused(name: str, limits: Limits, expected: str, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match=expected):
        contents(zipped({name: b"", "x": b""}), tmp_path=tmp_path, limits=limits)


def test_system_files_are_ignored_and_one_top_folder_is_stripped(tmp_path: Path) -> None:
    data = zipped(
        {
            "My Model/": b"",
            "My Model/custom-inference.py": b"x",
            "My Model/weights/w.bin": b"w",
            "My Model/__pycache__/a.cpython-38.pyc": b"c",
            "My Model/old.pyc": b"c",
            "My Model/.DS_Store": b"d",
            "My Model/._custom-inference.py": b"d",
            "__MACOSX/My Model/._custom-inference.py": b"d",
        }
    )
    assert contents(data, tmp_path=tmp_path) == {"custom-inference.py": b"x", "weights/w.bin": b"w"}


def test_only_one_top_folder_is_stripped(tmp_path: Path) -> None:
    assert contents(zipped({"a/b/x": b"1", "a/b/y": b"2"}), tmp_path=tmp_path) == {"b/x": b"1", "b/y": b"2"}
    assert contents(zipped({"a/x": b"1", "b/y": b"2"}), tmp_path=tmp_path) == {"a/x": b"1", "b/y": b"2"}
    assert contents(zipped({"a/x": b"1", "b/": b""}), tmp_path=tmp_path) == {"a/x": b"1"}
    assert contents(zipped({"model.onnx": b"1"}), tmp_path=tmp_path) == {"model.onnx": b"1"}


@pytest.mark.parametrize("files", [{}, {"a/": b""}, {"__MACOSX/x": b"1", ".DS_Store": b"2"}])
def test_an_archive_without_files_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="The package holds no files"):
        contents(zipped(files), tmp_path=tmp_path)


def test_archives_of_common_tools_are_read(tmp_path: Path) -> None:
    assert contents(archive(Raw(name=b"./", data=b""), Raw(name=b"./m.py")), tmp_path=tmp_path) == {"m.py": b"hello"}
    large = archive(Raw(local={"size": 0xFFFFFFFF, "packed_size": 0xFFFFFFFF, "extra": ZIP64_EXTRA}))
    assert contents(large, tmp_path=tmp_path) == {"model.py": b"hello"}
    streamed = archive(Raw(flags=1 << 3, local={"crc": 0, "size": 0, "packed_size": 0}))
    assert contents(streamed, tmp_path=tmp_path) == {"model.py": b"hello"}
    assert contents(archive(Raw(attributes=mode(stat.S_IFREG))), tmp_path=tmp_path) == {"model.py": b"hello"}
    with zipfile.ZipFile(tmp_path / "commented.zip", "w") as made:
        made.writestr("m.py", b"x")
        made.comment = b"made by hand"
    assert contents((tmp_path / "commented.zip").read_bytes(), tmp_path=tmp_path) == {"m.py": b"x"}


def test_an_archive_with_a_large_table_of_contents_is_read(tmp_path: Path) -> None:
    small = archive(Raw())
    _, _, _, _, size, start, _ = struct.unpack("<4H2LH", small[-18:])
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, size, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(small) - 22, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert contents(small[:-22] + record + locator + end, tmp_path=tmp_path) == {"model.py": b"hello"}


def test_an_archive_written_to_a_pipe_is_read(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self):
            raise io.UnsupportedOperation

        def seek(self, *_):
            raise io.UnsupportedOperation

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.py", b"x" * 999)
        with made.open("b.py", "w", force_zip64=True) as file:
            file.write(b"y" * 999)
    assert contents(out.getvalue(), tmp_path=tmp_path) == {"a.py": b"x" * 999, "b.py": b"y" * 999}


def test_names_are_utf8_if_valid_and_cp437_otherwise(tmp_path: Path) -> None:
    data = archive(Raw(name="caf\u00e9".encode()), Raw(name=b"na\x8bve"), Raw(name="\u6a21".encode(), flags=1 << 11))
    assert set(contents(data, tmp_path=tmp_path)) == {"caf\u00e9", "na\u00efve", "\u6a21"}


names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"], exclude_characters="/\\:"),
    min_size=1,
    max_size=20,
)


@given(st.dictionaries(st.lists(names, min_size=1, max_size=4).map("/".join), st.binary(max_size=100), min_size=1))
def test_an_archive_returns_its_files_or_a_reason(tmp_path_factory, files) -> None:
    try:
        found = contents(zipped(files), tmp_path=tmp_path_factory.mktemp("packed"))
    except BadPackage as refused:
        assert "name" in refused.what or "no files" in refused.what  # noqa: PT017
        return
    litter = ("__MACOSX", "__pycache__", ".DS_Store")
    plain = {name.removeprefix("./"): data for name, data in files.items()}
    kept = {
        name: data
        for name, data in plain.items()
        if not any(part in litter or part.startswith("._") for part in name.split("/"))
        and not name.lower().endswith(".pyc")
    }
    tops = {name.split("/")[0] for name in kept}
    if len(tops) == 1 and all("/" in name for name in kept):
        kept = {name.split("/", 1)[1]: data for name, data in kept.items()}
    assert found == kept
    assert list(found) == sorted(found)
