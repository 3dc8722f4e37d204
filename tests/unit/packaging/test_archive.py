import io
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import BadPackage, TooLarge, TrivetError
from trivet.packaging.archive import read_archive
from trivet.packaging.limits import Budget, Limits

LIMITS = Limits()


@dataclass(kw_only=True)
class Raw:
    """An entry of an archive with any content in every field. `local` is only in its own header."""

    name: bytes = b"model.py"
    data: bytes = b"hello"
    method: int = 0
    flags: int = 0
    packed: bytes | None = None
    packed_size: int | None = None
    size: int | None = None
    crc: int | None = None
    attributes: int = 0
    extra: bytes = b""
    version: int = 20
    offset: int | None = None
    system: int = 3
    local: dict[str, object] = field(default_factory=dict)

    def fields(self, *, local: bool) -> dict:
        packed = self.data if self.packed is None else self.packed
        values = {
            "name": self.name,
            "flags": self.flags,
            "method": self.method,
            "crc": zlib.crc32(self.data) if self.crc is None else self.crc,
            "packed_size": len(packed) if self.packed_size is None else self.packed_size,
            "size": len(self.data) if self.size is None else self.size,
            "extra": self.extra,
        }
        return values | (self.local if local else {})


def archive(*entries: Raw, prefix: bytes = b"", suffix: bytes = b"", total: int | None = None) -> bytes:
    out = io.BytesIO()
    out.write(prefix)
    offsets = []
    for entry in entries:
        offsets.append(out.tell() - len(prefix) if entry.offset is None else entry.offset)
        v = entry.fields(local=True)
        out.write(b"PK\3\4" + struct.pack("<5H", entry.version, v["flags"], v["method"], 0, 0x21))
        out.write(struct.pack("<3L2H", v["crc"], v["packed_size"], v["size"], len(v["name"]), len(v["extra"])))
        out.write(v["name"] + v["extra"])
        out.write(entry.data if entry.packed is None else entry.packed)
    start = out.tell()
    for entry, offset in zip(entries, offsets, strict=True):
        v = entry.fields(local=False)
        out.write(b"PK\1\2" + struct.pack("<BB", 20, entry.system))
        out.write(struct.pack("<5H", entry.version, v["flags"], v["method"], 0, 0x21))
        out.write(struct.pack("<3L2H", v["crc"], v["packed_size"], v["size"], len(v["name"]), len(v["extra"])))
        out.write(struct.pack("<3H2L", 0, 0, 0, entry.attributes, offset) + v["name"] + v["extra"])
    size = out.tell() - start
    count = len(entries) if total is None else total
    out.write(b"PK\5\6" + struct.pack("<4H2LH", 0, 0, count, count, size, start - len(prefix), 0) + suffix)
    return out.getvalue()


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


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


def zipped(files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def mode(kind: int) -> int:
    return (kind | 0o644) << 16


def twice(**second) -> bytes:
    return archive(Raw(), Raw(**({"name": b"other.py"} | second)))


NUL_NAME = "holds a NUL character"
ZIP64_EXTRA = struct.pack("<HHQQ", 1, 16, 5, 5)
FAR = struct.pack("<HHQ", 1, 8, 0xFFFFFFFF_FFFFFFFF)
ESCAPED = struct.pack("<HHBL", 0x7075, 5 + len(b"other.py"), 1, zlib.crc32(b"model.py")) + b"other.py"

HOSTILE = {
    "an absolute path": (archive(Raw(name=b"/etc/passwd")), "is an absolute path"),
    "a way up": (archive(Raw(name=b"../evil.py")), "leads out of the package"),
    "a way up in the middle": (archive(Raw(name=b"a/../../evil.py")), "leads out of the package"),
    "a way up in litter": (archive(Raw(name=b"__MACOSX/../../evil.py")), "leads out of the package"),
    "a way up at the end": (archive(Raw(name=b"a/..")), "leads out of the package"),
    "a backslash": (archive(Raw(name=b"..\\evil.py")), "holds a backslash"),
    "a drive": (archive(Raw(name=b"C:/evil.py")), "begins with a drive letter"),
    "a drive without a slash": (archive(Raw(name=b"c:evil.py")), "begins with a drive letter"),
    "a NUL": (archive(Raw(name=b"model.py\0.txt")), NUL_NAME),
    "a newline": (archive(Raw(name=b"model\n.py")), "holds control characters"),
    "an escape sequence": (archive(Raw(name=b"\x1b[2Jmodel.py")), "holds control characters"),
    "turned text": (archive(Raw(name="model\u202eyp.exe".encode(), flags=1 << 11)), "holds control characters"),
    "an empty name": (archive(Raw(name=b"")), "is empty"),
    "an empty part": (archive(Raw(name=b"a//b.py")), "has an empty part"),
    "only a slash": (archive(Raw(name=b"/", data=b"")), "is an absolute path"),
    "a dot in the middle": (archive(Raw(name=b"a/./b.py")), "only '.'"),
    "a symbolic link": (archive(Raw(data=b"/etc/passwd", attributes=mode(stat.S_IFLNK))), "holds a symbolic link"),
    "a link to a folder": (archive(Raw(name=b"a/", attributes=mode(stat.S_IFLNK))), "holds a symbolic link"),
    "a link from Windows": (archive(Raw(attributes=0x400, system=0)), "holds a link"),
    "a character device": (archive(Raw(attributes=mode(stat.S_IFCHR))), "holds a character device"),
    "a block device": (archive(Raw(attributes=mode(stat.S_IFBLK))), "holds a block device"),
    "a named pipe": (archive(Raw(attributes=mode(stat.S_IFIFO))), "holds a named pipe"),
    "a socket": (archive(Raw(attributes=mode(stat.S_IFSOCK))), "holds a socket"),
    "only a dot": (archive(Raw(name=b".")), "only '.'"),
    "an unknown kind": (archive(Raw(attributes=mode(0o30000))), "but not by its type"),
    "a folder that is a file": (archive(Raw(name=b"a/", data=b"", attributes=mode(stat.S_IFREG))), "by its type"),
    "a file that is a folder": (archive(Raw(data=b"", attributes=mode(stat.S_IFDIR))), "by its type"),
    "a folder with bytes": (archive(Raw(name=b"a/")), "by its type or size"),
    "a password": (archive(Raw(flags=1)), "The archive is encrypted"),
    "strong encryption": (archive(Raw(flags=1 << 6)), "The archive is encrypted"),
    "AES": (archive(Raw(method=99)), "The archive is encrypted"),
    "masked headers": (archive(Raw(flags=1 << 13)), "The archive is encrypted"),
    "patches": (archive(Raw(flags=1 << 5)), "compressed with patches"),
    "bzip2": (archive(Raw(method=12)), "compressed with bzip2"),
    "LZMA": (archive(Raw(method=14)), "compressed with LZMA"),
    "Deflate64": (archive(Raw(method=9)), "compressed with Deflate64"),
    "Zstandard": (archive(Raw(method=93)), "compressed with Zstandard"),
    "an unknown method": (archive(Raw(method=77)), "compressed with method 77"),
    "a name twice": (twice(name=b"model.py"), "holds a name twice"),
    "a name twice, once with a dot": (twice(name=b"./model.py"), "holds a name twice"),
    "a folder twice": (
        archive(Raw(), Raw(name=b"a/", data=b""), Raw(name=b"a/", data=b"")),
        "holds a name twice",
    ),
    "names that differ by case": (twice(name=b"Model.PY"), "equal on many systems"),
    "folders that differ by case": (archive(Raw(name=b"a/x"), Raw(name=b"A/y")), "equal on many systems"),
    "names that differ by Unicode form": (
        archive(
            Raw(name="caf\u00e9.py".encode(), flags=1 << 11),
            Raw(name="cafe\u0301.py".encode(), flags=1 << 11),
        ),
        "equal on many systems",
    ),
    "names that differ by sharp s": (
        archive(Raw(name="stra\u00dfe".encode(), flags=1 << 11), Raw(name=b"STRASSE")),
        "equal on many systems",
    ),
    "a file used as a folder": (archive(Raw(name=b"a"), Raw(name=b"a/b")), "for a file and for a folder"),
    "a folder used as a file": (archive(Raw(name=b"a/b"), Raw(name=b"A")), "for a file and for a folder"),
    "a file and a folder entry": (
        archive(Raw(name=b"a"), Raw(name=b"a/", data=b"")),
        "holds a name twice",
    ),
    "another name inside": (archive(Raw(local={"name": b"evil.py"})), "differ in the name"),
    "another method inside": (archive(Raw(local={"method": 8})), "differ in the compression method"),
    "encrypted inside only": (archive(Raw(local={"flags": 1})), "differ in the flags"),
    "another encoding inside": (archive(Raw(local={"flags": 1 << 11})), "differ in the flags"),
    "another size inside": (archive(Raw(local={"size": 4})), "differ in the size"),
    "another packed size inside": (archive(Raw(local={"packed_size": 4})), "differ in the compressed size"),
    "another checksum inside": (archive(Raw(local={"crc": 4})), "differ in the checksum"),
    "sizes of nothing without leave": (archive(Raw(local={"packed_size": 0, "size": 0})), "compressed size"),
    "missing large sizes": (archive(Raw(local={"size": 0xFFFFFFFF})), "differ in the size"),
    "two names": (archive(Raw(extra=ESCAPED)), "has two names"),
    "overlapping entries": (archive(Raw(), Raw(offset=0, local={})), "overlaps with another"),
    "a size into the next entry": (
        archive(Raw(packed_size=60, size=60), Raw(name=b"other.py")),
        "overlaps with another",
    ),
    "a size into the table": (archive(Raw(packed_size=60, size=60)), "overlaps with another, or with the table"),
    "a wrong checksum": (archive(Raw(crc=1)), "does not match its announced checksum (CRC)"),
    "more than announced": (archive(Raw(packed=deflated(b"hello" * 99), method=8)), "is larger than announced"),
    "less than announced": (archive(Raw(packed=deflated(b"hell"), method=8)), "is smaller than announced"),
    "stored, of another size": (archive(Raw(size=9)), "is smaller than announced"),
    "bytes after the end": (archive(Raw(packed=deflated(b"hello") + b"xx", method=8)), "has bytes after its end"),
    "no end": (archive(Raw(packed=deflated(b"hello")[:-1], method=8)), "is cut off"),
    "nothing at all": (archive(Raw(packed=b"", method=8)), "is cut off"),
    "no deflate": (archive(Raw(packed=b"\xff" * 9, method=8)), "cannot be unpacked"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_archive_is_refused_for(what: str, tmp_path: Path) -> None:
    data, expected = HOSTILE[what]
    with pytest.raises(BadPackage) as refused:
        contents(data, tmp_path=tmp_path)
    assert expected in refused.value.what
    assert refused.value.path is not None
    assert refused.value.fix
    assert all(character.isprintable() for character in refused.value.path)


NO_ZIP = {
    "nothing": (b"", "does not begin like one"),
    "text": (b"hello world" * 99, "does not begin like one"),
    "a tar.gz": (b"\x1f\x8b\x08" + b"x" * 99, "does not begin like one"),
    "only a beginning": (b"PK\3\4" + b"x" * 99, "cut off or damaged"),
    "something before it": (archive(Raw(), prefix=b"#!/bin/sh\n"), "does not begin like one"),
    "a false beginning": (archive(Raw(), prefix=b"PK\3\4"), "before its first entry"),
    "something after it": (archive(Raw(), suffix=b"more"), "after its end"),
    "another count": (archive(Raw(), total=2), "announces 2 entries and lists 1"),
    "an entry elsewhere": (archive(Raw(), Raw(name=b"b", offset=3)), "is not where the table of contents says"),
    "an entry behind the end": (archive(Raw(), Raw(name=b"b", offset=9999)), "is not where the table"),
    "an entry beyond any file": (
        archive(Raw(), Raw(name=b"b", offset=0xFFFFFFFF, extra=FAR)),
        "is not where the table",
    ),
    "a version of the future": (archive(Raw(version=99)), "table of contents cannot be read"),
    "a name that is not UTF-8": (archive(Raw(name=b"\xff\xfe", flags=1 << 11)), "table of contents cannot be read"),
    "a second disk": (archive(Raw())[:-18] + b"\1\0\1\0" + archive(Raw())[-14:], "several files"),
}


@pytest.mark.parametrize("what", NO_ZIP)
def test_a_file_that_is_not_a_zip_is_refused_with_the_reason(what: str, tmp_path: Path) -> None:
    data, expected = NO_ZIP[what]
    with pytest.raises(BadPackage) as refused:
        contents(data, tmp_path=tmp_path)
    assert refused.value.message.startswith("Not a valid ZIP file: ")
    assert expected in refused.value.message
    assert refused.value.fix


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
