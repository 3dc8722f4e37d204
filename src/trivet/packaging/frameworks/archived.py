"""Model files that are ZIP archives in themselves: read in place, within the limits of packages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trivet.errors import BadPackage, TrivetError
from trivet.packaging.archive import looks_like_zip, read_archive
from trivet.packaging.limits import Budget, Limits, size_text
from trivet.packaging.paths import Entry

__all__ = ["ModelArchive", "is_archive", "opened_archive"]

NO_LIMITS_SET: Final = Limits()
MAX_TEXT: Final = 64 << 20
"""Bytes of an entry that is read as a whole, such as a graph."""


class ModelArchive:
    """The entries of a model file by path, without the top folder.

    Args:
        entries: the files in it.
        shown: the file's name in messages.
    """

    def __init__(self, entries: Mapping[str, Entry], *, shown: str) -> None:
        self._entries = entries
        self._shown = shown

    @property
    def paths(self) -> tuple[str, ...]:
        """The path of every entry."""
        return tuple(self._entries)

    def read(self, path: str, *, limit: int = MAX_TEXT) -> bytes:
        """The bytes of an entry.

        Raises:
            BadPackage: the entry is missing, is damaged, or it has more bytes than `limit`.
        """
        entry = self._entries.get(path)
        if entry is None or entry.chunks is None:
            raise BadPackage(f"{self._shown!r} has no entry {path!r}", path=self._shown, reason="no_model")
        data = bytearray()
        for chunk in entry.chunks():
            data += chunk
            if len(data) > limit:
                raise BadPackage(
                    f"{path!r} in {self._shown!r} is larger than {size_text(limit)}",
                    path=self._shown,
                    reason="no_model",
                )
        return bytes(data)

    def check(self, *, size: int, limits: Limits = NO_LIMITS_SET) -> None:
        """Read every entry: a framework loads the file as it is.

        Args:
            size: bytes of the file.
            limits: on what is in it.

        Raises:
            BadPackage: an entry is damaged.
            TooLarge: the entries hold more than the limits allow.
        """
        budget = Budget(limits, packed_bytes=size)
        for entry in self._entries.values():
            budget.begin(entry.name)
            for chunk in entry.chunks() if entry.chunks is not None else ():
                budget.spend(len(chunk))


def is_archive(path: Path) -> bool:
    """Whether a file begins as a ZIP archive does."""
    with path.open("rb") as file:
        return looks_like_zip(file.read(4))


@contextmanager
def opened_archive(path: Path, *, shown: str, title: str, fix: str) -> Iterator[ModelArchive]:
    """The entries of a file, for the length of a `with` block. All of them are read once.

    Args:
        path: the file.
        shown: its name in messages.
        title: what it should be, such as `a file of PyTorch`.
        fix: how to write it again.

    Raises:
        BadPackage: it is not a ZIP archive, or is damaged.
        TooLarge: it holds more than the limits allow.
    """
    with path.open("rb") as file:
        try:
            entries = {each.path: each for each in read_archive(file, limits=NO_LIMITS_SET)}
            archive = ModelArchive(entries, shown=shown)
            archive.check(size=path.stat().st_size)
        except BadPackage as error:
            raise BadPackage(
                f"{shown!r} is not {title}, or is damaged", why=_reason(error), fix=fix, path=shown, reason="no_model"
            ) from error
        yield archive


def _reason(error: TrivetError) -> str:
    where = f" ({error.path})" if error.path else ""
    return error.what + where + (f": {error.why}" if error.why else "")
