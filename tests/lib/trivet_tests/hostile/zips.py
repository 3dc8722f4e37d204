"""ZIP archives with any content in every field."""

import io
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass, field

from trivet_tests.hostile.entry import Hostile

__all__ = ["ZIP64_EXTRA", "ZIPS", "Raw", "archive", "deflated", "mode", "twice", "zipped"]


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

TABLE = {
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

ZIPS = [
    Hostile(kind="zip", name=name, make=lambda data=data: data, outcome=reason, most_s=5.0, about={"is_zip": is_zip})
    for is_zip, table in ((True, TABLE), (False, NO_ZIP))
    for name, (data, reason) in table.items()
]
