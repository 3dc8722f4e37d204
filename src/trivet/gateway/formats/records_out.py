"""pandas-records out: an answer as a list of nested records, or flat ones.

Each selection has one layout: the text that all rows share, with slots between. A row's text is the layout with
its slots filled; the client's own text is returned as `in`.
"""

from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

import orjson
import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.gateway.answer import Answer
from trivet.gateway.formats.dataset import Selection
from trivet.gateway.formats.inputs import EchoedInputs
from trivet.gateway.formats.json_text import row_texts
from trivet.gateway.formats.stamp import Stamp

__all__ = ["RecordsWriter"]

ANOMALY_COUNT = b"0"
ROWS_AT_ONCE = 4096


class Found(NamedTuple):
    """A result of validations: the count, or one of them by its name."""

    name: str | None


class Slot(Enum):
    """Text that differs between answers, or between rows."""

    TIME = auto()
    ELAPSED = auto()
    WHOLE_IN = auto()
    IN_COLUMNS = auto()


Piece: TypeAlias = bytes | Slot | int | Found
"""Text that never changes, a slot, the index of an output column, or what validations found."""

Text: TypeAlias = bytes | list[bytes]
"""Text that is the same in every row, or a text for each row."""


class RecordsWriter:
    """Writes answers of one model for one selection.

    Args:
        selection: the requested parts and columns.
        outputs: the model's output schema.
        stamp: the answers' origin.
        checks: names of the pipeline's validations.
    """

    def __init__(self, selection: Selection, outputs: pa.Schema, stamp: Stamp, checks: Sequence[str] = ()) -> None:
        self._selection = selection
        self._pieces = _merged(_layout(selection, outputs, stamp, checks))
        self._bytes_a_row = sum(len(piece) for piece in self._pieces if isinstance(piece, bytes))
        self._echoes = selection.touches("in")
        self._chooses = Slot.IN_COLUMNS in self._pieces
        # If the selection leaves no input columns, there is no `in`, as in Arrow.
        self._without_in = _merged(_layout(selection, outputs, stamp, checks, without="in"))

    def write(self, answer: Answer[EchoedInputs]) -> bytes | memoryview:
        """The JSON body of an answer."""
        rows = answer.outputs.rows
        if rows > 1:
            echoed = answer.inputs.text_bytes() if self._echoes else 0
            answer.inputs.allowance.check_answer(rows, bytes_a_row=self._bytes_a_row, echoed=echoed)
        texts: list[Text] = []
        later: dict[int, int] = {}
        chosen = self._in_columns(answer) if self._chooses else None
        for piece in self._without_in if chosen == [] else self._pieces:
            if isinstance(piece, bytes):
                texts.append(piece)
            elif isinstance(piece, int):
                if rows > ROWS_AT_ONCE:
                    later[len(texts)] = piece
                    texts.append(b"")
                else:
                    texts += row_texts(answer.outputs, piece)
            elif isinstance(piece, Found):
                texts.append(_found(answer, piece))
            elif piece is Slot.TIME:
                texts.append(b"%d" % answer.time_ms)
            elif piece is Slot.ELAPSED:
                texts.append(b"[%d,%d]" % answer.elapsed_ns)
            elif piece is Slot.WHOLE_IN:
                texts.append(answer.inputs.texts())
            else:
                assert chosen is not None
                texts.append(chosen)
        if rows == 1:
            return b"".join([text if isinstance(text, bytes) else text[0] for text in texts]).join((b"[", b"]"))
        return _rows(texts, rows) if rows <= ROWS_AT_ONCE else _in_groups(texts, later, answer.outputs)

    def _in_columns(self, answer: Answer[EchoedInputs]) -> list[bytes]:
        """The selected columns of the request, including columns that are in no schema; empty if there are none."""
        prefix = "in." if self._selection.flatten else ""
        chosen = [
            (_key(prefix + name), texts)
            for name, texts in answer.inputs.column_texts().items()
            if self._selection.includes("in", name)
        ]
        if not chosen:
            return []
        keyed = [[key + text for text in texts] for key, texts in chosen]
        return [b",".join(row) for row in zip(*keyed, strict=True)]


def _in_groups(texts: list[Text], later: dict[int, int], outputs: Batch) -> memoryview:
    """Many rows, some at a time: to write all of them at once holds Python's lock, and needs several times the memory of the answer.

    Args:
        texts: those of all rows.
        later: which of them are columns of outputs, not written yet.
        outputs: has these columns.
    """
    body = bytearray()
    for start in range(0, outputs.rows, ROWS_AT_ONCE):
        group = outputs.slice(start, min(ROWS_AT_ONCE, outputs.rows - start))
        part: list[Text] = []
        for index, text in enumerate(texts):
            if index in later:
                part += row_texts(group, later[index])
            else:
                part.append(text[start : start + group.rows] if isinstance(text, list) else text)
        body += b"," if start else b"["
        body += memoryview(_rows(part, group.rows))[1:-1]
    body += b"]"
    return memoryview(body)


def _found(answer: Answer[EchoedInputs], piece: Found) -> list[bytes]:
    assert answer.anomalies is not None
    if piece.name is None:
        return [b"%d" % count for count in answer.anomalies.count.tolist()]
    return [b"true" if value else b"false" for value in answer.anomalies.columns[piece.name].tolist()]


def _layout(
    selection: Selection, outputs: pa.Schema, stamp: Stamp, checks: Sequence[str], *, without: str | None = None
) -> Iterator[Piece]:
    parts: list[tuple[str, list[tuple[str, Piece]]]] = [
        ("in", [("", Slot.IN_COLUMNS)] if selection.touches("in") else []),
        ("out", [(name, index) for index, name in enumerate(outputs.names)]),
        ("anomaly", [("count", Found(None)), *((name, Found(name)) for name in sorted(checks))])
        if checks
        else ("anomaly", [("count", ANOMALY_COUNT)]),
        (
            "metadata",
            [
                ("last_model", orjson.dumps(stamp.last_model)),
                ("pipeline_version", orjson.dumps(stamp.pipeline_version)),
                ("elapsed", Slot.ELAPSED),
                ("dropped", b"[]"),
                ("partition", orjson.dumps(stamp.partition)),
            ],
        ),
    ]
    lead = b"{"
    if "time" in selection.parts:
        yield b'{"time":'
        yield Slot.TIME
        lead = b","
    for part, columns in parts:
        if part == without:
            continue
        if part == "in" and "in" in selection.parts and selection.is_plain:
            yield lead + b'"in":'
            yield Slot.WHOLE_IN
            lead = b","
            continue
        chosen = [
            (name, value) for name, value in columns if value is Slot.IN_COLUMNS or selection.includes(part, name)
        ]
        if not chosen:
            continue
        if not selection.flatten:
            yield lead + _key(part)
            lead = b"{"
        for name, value in chosen:
            yield lead
            if value is not Slot.IN_COLUMNS:
                yield _key(f"{part}.{name}" if selection.flatten else name)
            yield value
            lead = b","
        if not selection.flatten:
            yield b"}"
    yield b"}" if lead == b"," else b"{}"


def _key(name: str) -> bytes:
    return orjson.dumps(name) + b":"


def _merged(pieces: Iterator[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and merged and isinstance(merged[-1], bytes):
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def _rows(texts: list[Text], rows: int) -> bytes:
    """Join the texts of each row."""
    merged: list[Text] = [b""]
    for text in texts:
        if isinstance(text, bytes) and isinstance(merged[-1], bytes):
            merged[-1] += text
        else:
            merged.append(text)
    first, last = merged[0], merged[-1]
    assert isinstance(first, bytes)
    assert isinstance(last, bytes)
    if len(merged) == 1:
        return b"[" + b",".join([first] * rows) + b"]"
    # The end of one row and the start of the next are one text.
    merged[0] = [b"[" + first] + [last + b"," + first] * (rows - 1)
    width = len(merged) - 1
    laid: list[bytes] = [b""] * (width * rows)
    for index, text in enumerate(merged[:-1]):
        laid[index::width] = [text] * rows if isinstance(text, bytes) else text
    return b"".join(laid) + last + b"]"
