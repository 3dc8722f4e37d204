"""Limits of a package, and the budget while one is read."""

from dataclasses import dataclass

from trivet.errors import TooLarge

__all__ = ["Budget", "Limits", "size_text"]

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits of a package. Bytes are counted as they are read; headers are not trusted.

    Attributes:
        max_bytes: all files together, unpacked; the file that comes in, too.
        max_file_bytes: one file, unpacked.
        max_files: files; folders are counted apart, with the same limit.
        max_ratio: unpacked bytes for each byte of an archive, checked from `ratio_from_bytes` unpacked bytes on.
        ratio_from_bytes: below this many unpacked bytes any ratio is allowed.
        max_depth: names in a path, the file's own included.
        max_name_bytes: one name in a path, as UTF-8.
        max_path_bytes: a whole path, as UTF-8.
        max_directory_bytes: the table of contents at the end of an archive.
    """

    max_bytes: int = 8 << 30
    max_file_bytes: int = 8 << 30
    max_files: int = 20_000
    max_ratio: int = 200
    ratio_from_bytes: int = 16 << 20
    max_depth: int = 24
    max_name_bytes: int = 255
    max_path_bytes: int = 1024
    max_directory_bytes: int = 8 << 20


class Budget:
    """Counts the unpacked bytes of one package, and enforces its limits.

    Args:
        limits: the limits.
        packed_bytes: the size of the archive; None for a folder.
    """

    def __init__(self, limits: Limits, *, packed_bytes: int | None = None) -> None:
        self._limits = limits
        self._packed_bytes = packed_bytes
        self._entry = ""
        self._file_bytes = 0
        self._bytes = 0

    def begin(self, entry: str) -> None:
        """Start the next file; errors name it `entry`."""
        self._entry = entry
        self._file_bytes = 0

    def spend(self, count: int) -> None:
        """Count bytes.

        Raises:
            TooLarge: there are too many.
        """
        self._file_bytes += count
        self._bytes += count
        limits = self._limits
        if self._file_bytes > limits.max_file_bytes:
            raise TooLarge(
                f"A file of the package is larger than {size_text(limits.max_file_bytes)}",
                fix="split it, or leave out what the model does not need",
                path=self._entry,
            )
        if self._bytes > limits.max_bytes:
            raise TooLarge(
                f"The package holds more than {size_text(limits.max_bytes)}",
                why="that is the limit for all its files together, unpacked",
                fix="leave out what the model does not need to run",
                path=self._entry,
            )
        if self._packed_bytes is not None and self._bytes > limits.ratio_from_bytes:
            self._check_ratio(self._packed_bytes)

    def _check_ratio(self, packed_bytes: int) -> None:
        if self._bytes > packed_bytes * self._limits.max_ratio:
            raise TooLarge(
                f"The archive unpacks to more than {self._limits.max_ratio} times its size",
                why=f"{size_text(self._bytes)} came out of {size_text(packed_bytes)}, and more follow",
                fix="if this is intended, store its files without compression (zip -0)",
                path=self._entry,
            )


def size_text(count: int) -> str:
    """`1536` as `1.5 KiB`."""
    power = min(max(count.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{count / 1024**power:.1f}".removesuffix(".0") + f" {_UNITS[power]}"
