"""Reading ZIP archives that are not trusted.

`zipfile` reads the table of contents; everything else is done here: an entry is accepted only if its own header agrees
with the table, its bytes belong to no other entry, and the unpacked bytes match the announced size and checksum. Nothing is
extracted by name: the caller gets checked paths and streams.
"""

import io
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from trivet.domain.frameworks import ACCEPTED
from trivet.errors import BadPackage, TooLarge
from trivet.packaging.limits import Limits, size_text
from trivet.packaging.paths import Entry, arrange, parse_name, shown
from trivet.packaging.unpacking import PACK_AGAIN, unpacked

__all__ = ["looks_like_zip", "read_archive"]

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_END_BYTES = 22
_UTF8 = 1 << 11
_SIZES_FOLLOW = 1 << 3
# Encryption, strong encryption, masked headers; the other bits are hints for the decompressor.
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
_PATCH_DATA = 1 << 5
_MUST_AGREE = _ENCRYPTED | _PATCH_DATA | _UTF8
_REPARSE_POINT = 0x400
_METHODS = {
    1: "Shrink",
    6: "Implode",
    9: "Deflate64",
    12: "bzip2",
    14: "LZMA",
    20: "Zstandard",
    93: "Zstandard",
    95: "xz",
    98: "PPMd",
    99: "AES encryption",
}
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


def looks_like_zip(head: bytes) -> bool:
    """Whether a file with these first bytes is meant to be a ZIP archive."""
    return head.startswith((b"PK\3\4", b"PK\5\6"))


def read_archive(file: BinaryIO, *, limits: Limits) -> list[Entry]:
    """The files in an archive, checked, in order of path. Their `chunks` work as long as `file` is open.

    Args:
        file: a file on disk, open for reading.
        limits: of its content; the reader counts bytes.

    Raises:
        BadPackage: it is not a ZIP archive, or holds what is not supported. The chunks raise it too, if bytes differ from
            the announced ones.
        TooLarge: beyond a limit.
    """
    descriptor = file.fileno()
    table, start_of_table = _read_table(file, limits=limits)
    spans: list[tuple[int, int, str]] = []
    entries = []
    for info in table:
        name = shown(_name_of(info))
        parts = parse_name(_name_of(info), limits=limits)
        _check_kind(info, name=name)
        _check_method(info, name=name)
        start = _start_of_data(descriptor, info, name=name)
        spans.append((info.header_offset, start + info.compress_size, name))
        is_folder = info.orig_filename.endswith("/")
        chunks = None if is_folder else partial(unpacked, descriptor, start, info=info, name=name)
        entries.append(Entry(name=name, parts=parts, chunks=chunks))
    _check_spans(spans, start_of_table=start_of_table)
    return arrange(entries, limits=limits)


class _SmallReads(io.BufferedIOBase):
    """A file that limits the size of reads, because `zipfile` reads a table of contents of any size whole."""

    def __init__(self, file: BinaryIO, *, limit: int) -> None:
        self._file = file
        self._limit = limit

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._file.read(self._limit + 1 if size is None or size < 0 else min(size, self._limit + 1))
        if len(data) > self._limit:
            raise TooLarge(
                f"The archive's table of contents is larger than {size_text(self._limit)}",
                fix="leave out what the model does not need to run",
            )
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _read_table(file: BinaryIO, *, limits: Limits) -> tuple[list[zipfile.ZipInfo], int]:
    """The table of contents, and where it starts."""
    head = os.pread(file.fileno(), 4, 0)
    if not looks_like_zip(head):
        raise _not_a_zip("it does not begin like one", fix=ACCEPTED)
    try:
        archive = zipfile.ZipFile(_SmallReads(file, limit=max(limits.max_directory_bytes, 1 << 17)))
    except zipfile.BadZipFile as error:
        raise _not_a_zip(f"it is cut off or damaged ({_reason(error)})") from error
    except (ValueError, NotImplementedError, EOFError, OverflowError, OSError, struct.error) as error:
        raise _not_a_zip(f"its table of contents cannot be read ({_reason(error)})") from error
    table = archive.infolist()
    if len(table) > 4 * limits.max_files:
        raise TooLarge(
            f"The archive has {len(table):,} entries",
            why=f"a package may hold {limits.max_files:,} files",
            fix="leave out what the model does not need to run",
        )
    _check_end(file.fileno(), comment=archive.comment, entries=len(table))
    if table and min(info.header_offset for info in table) != 0:
        raise _not_a_zip("it has bytes before its first entry")
    if any(info.header_offset >= archive.start_dir for info in table):
        raise _not_a_zip("an entry is not where the table of contents says")
    return table, archive.start_dir


def _check_end(descriptor: int, *, comment: bytes, entries: int) -> None:
    """Check that `zipfile` used the last end record, and that it agrees with its table."""
    end = os.fstat(descriptor).st_size - len(comment) - _END_BYTES
    record = os.pread(descriptor, _END_BYTES, max(end, 0))
    if end < 0 or len(record) != _END_BYTES or not record.startswith(b"PK\5\6"):
        raise _not_a_zip("it has bytes after its end, or its comment is cut off")
    disk, first_disk, here, total = struct.unpack_from("<4H", record, 4)
    if {disk, first_disk} - {0, 0xFFFF}:
        raise _not_a_zip("it is one part of an archive in several files", fix="join its parts and pack it again")
    if {here, total} - {0xFFFF, entries}:
        raise _not_a_zip(f"it announces {total} entries and lists {entries}")


def _not_a_zip(why: str, *, fix: str = PACK_AGAIN) -> BadPackage:
    return BadPackage("Not a valid ZIP file", why=why, fix=fix, reason="not_a_zip")


def _reason(error: Exception) -> str:
    return shown(str(error)) or type(error).__name__


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")


def _name_of(info: zipfile.ZipInfo) -> str:
    """An entry's name: UTF-8 if it is marked or valid as such, else the old code page."""
    try:
        name = _raw_name(info).decode("utf-8")
    except UnicodeDecodeError:
        name = info.orig_filename
    for field, data in _extra_fields(info.extra):
        # Info-ZIP's Unicode path: version, CRC of the name in the header, name.
        if field == 0x7075 and data[5:] not in {name.encode("utf-8"), b""}:
            raise BadPackage("An entry of the archive has two names", fix=PACK_AGAIN, path=shown(name))
    return name


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        field, length = struct.unpack_from("<HH", extra, at)
        yield field, extra[at + 4 : at + 4 + length]
        at += 4 + length


def _check_kind(info: zipfile.ZipInfo, *, name: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    is_folder = info.orig_filename.endswith("/")
    if kind in _KINDS or info.external_attr & _REPARSE_POINT:
        raise BadPackage(
            f"The archive holds {_KINDS.get(kind, 'a link')}",
            why="only files and folders are supported",
            fix="put the file itself in its place (zip follows links unless it is called with -y)",
            path=name,
        )
    if kind not in {0, stat.S_IFDIR if is_folder else stat.S_IFREG} or (is_folder and info.file_size):
        raise BadPackage(
            "An entry of the archive is a file by its name, but not by its type"
            if not is_folder
            else "An entry of the archive is a folder by its name, but not by its type or size",
            fix=PACK_AGAIN,
            path=name,
        )


def _check_method(info: zipfile.ZipInfo, *, name: str) -> None:
    if info.flag_bits & _ENCRYPTED or info.compress_type == 99:
        raise BadPackage(
            "The archive is encrypted",
            why="Trivet does not have its password",
            fix="pack it without a password",
            path=name,
        )
    if info.flag_bits & _PATCH_DATA or info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise BadPackage(
            f"The archive is compressed with {method if not info.flag_bits & _PATCH_DATA else 'patches'}",
            why="only 'stored' and 'deflate' are supported",
            fix=PACK_AGAIN,
            path=name,
        )


def _start_of_data(descriptor: int, info: zipfile.ZipInfo, *, name: str) -> int:
    """Where an entry's bytes begin, after a check that its own header agrees with the table of contents."""
    header = os.pread(descriptor, _LOCAL_HEADER.size, info.header_offset)
    if len(header) != _LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
        raise _not_a_zip(f"the entry {name!r} is not where the table of contents says")
    flags: int
    crc: int
    packed: int
    size: int
    name_length: int
    extra_length: int
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    after = os.pread(descriptor, name_length + extra_length, info.header_offset + _LOCAL_HEADER.size)
    if len(after) != name_length + extra_length:
        raise _not_a_zip(f"it is cut off within {name!r}")
    if 0xFFFFFFFF in {packed, size}:
        packed, size = _zip64_sizes(after[name_length:], packed=packed, size=size)
    announced = (info.CRC, info.compress_size, info.file_size)
    later = bool(flags & _SIZES_FOLLOW)
    differences = {
        "name": after[:name_length] != _raw_name(info),
        "flags": (flags ^ info.flag_bits) & _MUST_AGREE,
        "compression method": method != info.compress_type,
        "checksum": crc != announced[0] and not (later and crc == 0),
        "compressed size": packed != announced[1] and not (later and packed == 0),
        "size": size != announced[2] and not (later and size == 0),
    }
    if different := [what for what, differs in differences.items() if differs]:
        raise BadPackage(
            f"An entry's own header and the table of contents differ in the {different[0]}",
            why="two programs would unpack it differently",
            fix=PACK_AGAIN,
            path=name,
        )
    return info.header_offset + _LOCAL_HEADER.size + name_length + extra_length


def _zip64_sizes(extra: bytes, *, packed: int, size: int) -> tuple[int, int]:
    """The sizes from a large entry's own header; `packed` and `size` if the field is missing."""
    for field, data in _extra_fields(extra):
        if field == 1 and len(data) >= 16:
            large_size, large_packed = struct.unpack_from("<QQ", data)
            return (
                large_packed if packed == 0xFFFFFFFF else packed,
                large_size if size == 0xFFFFFFFF else size,
            )
    return packed, size


def _check_spans(spans: list[tuple[int, int, str]], *, start_of_table: int) -> None:
    """Check that no byte belongs to two entries: otherwise a few kilobytes could be read a thousand times."""
    spans = sorted(spans)
    starts = [start for start, _, _ in spans[1:]] + [start_of_table]
    for (_, end, name), next_start in zip(spans, starts, strict=False):
        if end > next_start:
            raise BadPackage(
                "An entry of the archive overlaps with another, or with the table of contents",
                fix=PACK_AGAIN,
                path=name,
            )
