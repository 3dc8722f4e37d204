"""All that commands print. What models and callers name, print and raise is data: nothing of it controls a terminal."""

import base64
import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from trivet.errors import UNSAFE_CHARACTERS, visible

__all__ = ["in_json", "print_json", "print_table", "show"]

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
    """Print a table in a terminal; elsewhere plain lines with tabs."""
    found = [[visible(str(cell)) for cell in row] for row in rows]
    if not found:
        print(empty)
        return
    if not sys.stdout.isatty():
        for row in (list(heads), *found):
            print("\t".join(" ".join(cell.split()) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*heads, box=None)
    for row in found:
        # A model's text may look like markup.
        table.add_row(*map(Text, row))
    Console().print(table)


def _escaped(text: str) -> str:
    """The same JSON without characters that control a terminal: they occur in its strings only."""
    return _UNSAFE.sub(lambda found: json.dumps(found.group())[1:-1], text)


def _plain(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
