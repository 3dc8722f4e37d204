"""All that commands print. What models and callers name, print and raise is data: nothing of it controls a terminal."""

import base64
import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from trivet.errors import UNSAFE_CHARACTERS, visible

__all__ = ["in_json", "print_fields", "print_json", "print_table", "show"]

_UNSAFE = re.compile(UNSAFE_CHARACTERS)


def show(text: str, *, to_stderr: bool = False) -> None:
    """Print lines."""
    print(visible(text), file=sys.stderr if to_stderr else sys.stdout, flush=True)


def print_json(value: Any) -> None:
    """Print JSON for programs."""
    print(_escaped(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()))


def in_json(value: Any) -> str:
    """JSON on one line. NaN becomes null, as in the platform's answers: JSON has no NaN."""
    return _escaped(orjson.dumps(value, default=_plain).decode())


def print_table(heads: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print aligned columns, at least two spaces apart; an empty cell is `-`.

    Nothing is cut, so that names and ids can be copied: rows that are wider than the terminal become blocks with a line for each
    cell.
    """
    found = [[" ".join(visible(str(cell)).split()) or "-" for cell in row] for row in rows]
    if not found:
        print(empty)
        return
    widths = [max(map(_width, column)) for column in zip(heads, *found, strict=True)]
    if sys.stdout.isatty() and sum(widths) + 2 * (len(widths) - 1) > shutil.get_terminal_size().columns:
        print("\n\n".join(_block(heads, row) for row in found))
        return
    for row in (heads, *found):
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Print a line for each field that has a value; further lines of a value are indented."""
    found = [(name, visible(str(value))) for name, value in fields if value not in (None, "")]
    width = max((len(name) for name, _ in found), default=0)
    for name, value in found:
        print(f"{name:<{width}}  " + value.replace("\n", "\n" + " " * (width + 2)))


def _block(heads: Sequence[str], row: Sequence[str]) -> str:
    width = max(map(len, heads))
    return "\n".join(f"{head:<{width}}  {cell}" for head, cell in zip(heads, row, strict=True) if cell != "-")


def _width(text: str) -> int:
    """Columns in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def _escaped(text: str) -> str:
    """The same JSON without characters that control a terminal: they occur in its strings only."""
    return _UNSAFE.sub(lambda found: json.dumps(found.group())[1:-1], text)


def _plain(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
