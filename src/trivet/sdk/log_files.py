"""Writes exported logs to files."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import pyarrow as pa

from trivet.domain.short_floats import with_short_floats
from trivet.errors import Invalid, Unavailable

__all__ = ["LogFiles", "read_size"]

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
ROWS = 1000
"""The most rows written between two checks of the file's size."""
PARTS = 10
"""The number of checks before a file is full, about."""


def read_size(size: str | int) -> int:
    """A number of bytes, or a text such as `100MB`.

    Raises:
        Invalid: it is neither.
    """
    text = str(size)
    digits = text.strip().rstrip("KMGiBkmgb ")
    unit = text.strip()[len(digits) :].strip().upper()
    try:
        return max(1, int(float(digits) * UNITS[unit]))
    except (ValueError, KeyError, OverflowError):
        raise Invalid(f"{text!r} is not a size", fix="write it as in 100MB", path="data_size_limit") from None


class LogFiles:
    """`<folder>/<prefix>-1.json` and so on: a new file for another schema, and where one would become too large.

    Args:
        folder: created if it does not exist.
        prefix: of the files' names.
        most_bytes: of one file.
        arrow: Arrow files; else one JSON record a line, with `time` in milliseconds.
    """

    def __init__(self, folder: Path, *, prefix: str, most_bytes: int, arrow: bool) -> None:
        self._folder = folder
        self._prefix = prefix
        self._most_bytes = most_bytes
        self._arrow = arrow
        self._number = 0
        self._schema: pa.Schema | None = None
        self._file: pa.NativeFile | None = None
        self._writer: Any = None

    def write(self, table: pa.Table) -> None:
        """Add rows.

        Raises:
            Unavailable: they cannot be written to the disk.
        """
        try:
            rows = min(ROWS, max(1, table.num_rows * self._most_bytes // (PARTS * max(1, table.nbytes))))
            for start in range(0, table.num_rows, rows):
                part = table.slice(start, rows)
                if self._file is not None and (self._schema != part.schema or self._file.tell() >= self._most_bytes):
                    self._close()
                if self._file is None:
                    self._open(part.schema)
                if self._arrow:
                    self._writer.write_table(part)
                else:
                    assert self._file is not None
                    self._file.write(_lines(part))
        except OSError as error:
            raise Unavailable(
                f"failed to write the log to {self._folder}", why=str(error), fix="give another directory"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._close()

    def _open(self, schema: pa.Schema) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._number += 1
        self._schema = schema
        path = self._folder / f"{self._prefix}-{self._number}.{'arrow' if self._arrow else 'json'}"
        self._file = pa.OSFile(str(path), "wb")
        if self._arrow:
            self._writer = pa.ipc.new_file(self._file, schema)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._file is not None:
            self._file.close()
            self._file = None


def _lines(table: pa.Table) -> bytes:
    if "time" in table.column_names:
        table = table.set_column(table.column_names.index("time"), "time", table["time"].cast(pa.int64()))
    records = with_short_floats(table).to_pylist()
    return b"".join(orjson.dumps(record, default=str, option=orjson.OPT_APPEND_NEWLINE) for record in records)
