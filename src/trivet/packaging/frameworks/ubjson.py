"""Universal Binary JSON as XGBoost writes it: the wanted parts of a document, without the rest in memory."""

import struct
from collections.abc import Mapping
from typing import IO, Any, Final, TypeAlias

__all__ = ["Wanted", "read_ubjson"]

Wanted: TypeAlias = Mapping[str, "Wanted | None"]
"""Keys of an object, each with what is wanted of its value; None: all of it."""

MAX_DEPTH: Final = 100
MAX_TEXT: Final = 16 << 20
MAX_ITEMS: Final = 1 << 20
_NUMBERS: Final[Mapping[bytes, str]] = {
    b"i": ">b",
    b"U": ">B",
    b"I": ">h",
    b"l": ">i",
    b"L": ">q",
    b"d": ">f",
    b"D": ">d",
}
_CONSTANTS: Final[Mapping[bytes, Any]] = {b"T": True, b"F": False, b"Z": None}
_SKIP: Final[Wanted] = {}


def read_ubjson(file: IO[bytes], *, end: int, wanted: Wanted) -> dict[str, Any]:
    """The wanted parts of the document that begins where the file is.

    Args:
        file: the bytes.
        end: where the document ends.
        wanted: what to read; the rest is skipped.

    Raises:
        ValueError: it is not such a document, or is cut off.
    """
    found = _Reader(file, end=end).value(wanted, depth=0)
    if not isinstance(found, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - of the file, not of an argument
    return found


class _Reader:
    def __init__(self, file: IO[bytes], *, end: int) -> None:
        self._file = file
        self._end = end

    def value(self, wanted: Wanted | None, *, depth: int, kind: bytes | None = None) -> Any:
        """The next value; what is not wanted is read as None."""
        kind = kind or self._read(1)
        if depth > MAX_DEPTH:
            raise ValueError("its values are nested too deeply")
        if kind == b"{":
            return self._object(wanted, depth)
        if kind == b"[":
            return self._array(wanted, depth)
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind == b"S":
            return self._text(keep=wanted is None)
        if kind in _NUMBERS:
            return self._number(kind)
        raise ValueError(f"{kind!r} is not a type of value")

    def _object(self, wanted: Wanted | None, depth: int) -> dict[str, Any]:
        found = {}
        while (kind := self._read(1)) != b"}":
            name = self._text(keep=True, kind=kind)
            keep = wanted is None or name in wanted
            value = self.value(None if wanted is None else wanted.get(name, _SKIP), depth=depth + 1)
            if keep:
                found[name] = value
        return found

    def _array(self, wanted: Wanted | None, depth: int) -> list[Any]:
        of = count = None
        kind = self._read(1)
        if kind == b"$":
            of, kind = self._read(1), self._read(1)
            if of in _CONSTANTS:
                # They take no bytes, so that their number has no limit.
                raise ValueError("an array of constants")
        if kind == b"#":
            count = self._count()
            kind = b""
        elif of is not None:
            raise ValueError("an array of one type has no length")
        if wanted is not None and of is not None and of in _NUMBERS and count is not None:
            self._skip(count * struct.calcsize(_NUMBERS[of]))
            return []
        found: list[Any] = []
        while (count is None and kind != b"]") or (count is not None and count > 0):
            value = self.value(wanted, depth=depth + 1, kind=of or kind or None)
            if wanted is None and len(found) < MAX_ITEMS:
                found.append(value)
            if count is None:
                kind = self._read(1)
            else:
                count -= 1
        return found

    def _text(self, *, keep: bool, kind: bytes | None = None) -> str:
        length = self._count(kind)
        if keep and length <= MAX_TEXT:
            return self._read(length).decode("utf-8", "replace")
        self._skip(length)
        return ""

    def _count(self, kind: bytes | None = None) -> int:
        kind = kind or self._read(1)
        if kind not in _NUMBERS:
            raise ValueError(f"{kind!r} is not a type of number")
        count = self._number(kind)
        if type(count) is not int or count < 0:
            raise ValueError("a length is not a number")
        return count

    def _number(self, kind: bytes) -> Any:
        form = _NUMBERS[kind]
        return struct.unpack(form, self._read(struct.calcsize(form)))[0]

    def _read(self, count: int) -> bytes:
        self._check(count)
        data = self._file.read(count)
        if len(data) != count:
            raise ValueError("it is cut off")
        return data

    def _skip(self, count: int) -> None:
        self._check(count)
        self._file.seek(count, 1)

    def _check(self, count: int) -> None:
        if self._file.tell() + count > self._end:
            raise ValueError("it is cut off")
