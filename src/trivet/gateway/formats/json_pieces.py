"""Large JSON bodies in pieces of some thousand rows: a decoder holds Python's lock until it has finished.

Requests of other clients go on between two pieces. What follows a piece is a row only if the piece is valid JSON by itself, so a text
that holds what looks like the end of a row does no harm.
"""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

__all__ = ["PIECE_BYTES", "row_groups"]

RowT = TypeVar("RowT")

PIECE_BYTES = 2**17
"""Takes a millisecond or so."""
# Ends of rows that are tried for a piece: rows with lists of objects have others inside.
MOST_TRIES = 4
_START = re.compile(rb"\s*\[")
_BETWEEN = re.compile(rb"\}\s*,\s*(?=\{)")


def row_groups(
    body: bytes, decode: Callable[[bytes], list[RowT]], *, piece_bytes: int = PIECE_BYTES
) -> Iterator[list[RowT]]:
    """The rows of a JSON list of objects, some at a time.

    Args:
        body: the text of the list.
        decode: gives the rows of such a text.
        piece_bytes: how long a text it gets, about.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError, RecursionError: as `decode` does, where the text is not valid.
    """
    found = _START.match(body)
    start = found.end() if found is not None else 0
    while found is not None and len(body) - start > 2 * piece_bytes:
        piece = _piece(body, start, start + piece_bytes, decode)
        if piece is None:
            break
        rows, start = piece
        yield rows
    yield decode(body if found is None or start == found.end() else b"[" + body[start:])


def _piece(body: bytes, start: int, after: int, decode: Callable[[bytes], list[RowT]]) -> tuple[list[RowT], int] | None:
    """The rows from one place to another, or a little further, and the place of the next row; None if no end of a row is found."""
    for _ in range(MOST_TRIES):
        found = _BETWEEN.search(body, after)
        if found is None:
            return None
        try:
            return decode(b"[" + body[start : found.start() + 1] + b"]"), found.end()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            after = found.end()
    return None
