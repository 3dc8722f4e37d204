"""pandas-records in: `[{"tensor": [1.0, …]}, …]` becomes a batch with as few Python objects as possible.

A model's schema has two decoders. The strict one is compiled by msgspec: every field present, none unknown, nothing null;
its lists go to numpy in one step. Most requests pass it, and the text of each row is kept and returned as `in`.
What it refuses goes to the lenient one (`records_lenient`), which accepts nulls where the schema does and unknown columns,
and explains all other errors.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import orjson
import pyarrow as pa

from trivet.engine.batch import Batch, Column, join_columns
from trivet.gateway.allowance import Allowance
from trivet.gateway.formats.json_columns import ColumnBuilder, json_type
from trivet.gateway.formats.json_pieces import PIECE_BYTES, row_groups
from trivet.gateway.formats.records_lenient import LenientDecoder

__all__ = ["RecordInputs", "RecordsDecoder", "decoding_bytes"]

# What a smaller body takes while it is decoded is not counted, because one such body is decoded at a time.
LARGE = 2**20
# Arrow IPC allows 64 levels, and an answer adds some.
MAX_DEPTH = 48
# Entries of a column whose type Arrow infers; each takes some 16 bytes while it is built.
CELLS_A_BYTE, FREE_CELLS = 2, 2**16

decode_raw_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_raw_columns = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class RecordInputs:
    """A decoded JSON request.

    Attributes:
        batch: the model's columns.
        has_more: whether there may be other columns.
        allowance: what the request may still become.
    """

    __slots__ = ("_nbytes", "_split", "allowance", "batch", "has_more")

    def __init__(
        self,
        batch: Batch,
        split: Callable[[], list[bytes]],
        *,
        nbytes: int,
        allowance: Allowance,
        has_more: bool = False,
    ) -> None:
        self.batch = batch
        self.allowance = allowance
        self._nbytes = nbytes
        self.has_more = has_more
        self._split = split

    def texts(self) -> list[bytes]:
        """Each row's text, as sent."""
        return self._split()

    def text_bytes(self) -> int:
        """The body's length."""
        return self._nbytes

    def column_texts(self) -> dict[str, list[bytes]]:
        """Each column's values as text, in the order of the first row."""
        columns: dict[str, list[bytes]] = {}
        for index, text in enumerate(self.texts()):
            for name, value in decode_raw_columns(text).items():
                if name not in columns:
                    # A row may lack a nullable field that another row has.
                    columns[name] = [b"null"] * self.batch.rows
                columns[name][index] = bytes(value)
        return columns

    def arrays(self) -> dict[str, pa.Array]:
        """The model's columns in the model's types; other columns in the types that Arrow infers."""
        schema = self.batch.schema
        known = {name: index for index, name in enumerate(schema.names)}
        arrays: dict[str, pa.Array] = {}
        for name, texts in self.column_texts().items():
            if name in known:
                arrays[name] = self.batch.arrow(known[name])
            else:
                arrays[name] = _inferred(texts)
        return arrays


class RecordsDecoder:
    """Decodes pandas-records for one schema."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        names = [f"f{index}" for index in range(len(schema))]
        # msgspec cannot name such fields: their rows are read by the lenient decoder.
        self._decode = None if any(set(name) & set('"\\') for name in schema.names) else _strict(schema, names)
        self._fields = [(attrgetter(name), ColumnBuilder(field)) for name, field in zip(names, schema, strict=True)]
        self._lenient = LenientDecoder(schema)
        # If all values are numbers or booleans, and no name holds braces or quotes, these always delimit rows and names.
        self._plain = all(_is_plain(field, builder) for field, (_, builder) in zip(schema, self._fields, strict=True))
        self._quotes = 2 * len(schema)

    def decode(self, body: bytes, allowance: Allowance | None = None) -> RecordInputs:
        """Rows in a request's body.

        Args:
            body: JSON.
            allowance: limit on what it may become; by default that of a body of this length.

        Raises:
            Invalid: naming the row and field, what was expected and what came.
            TooLarge: few bytes stand for very many values.
        """
        if allowance is None:
            allowance = Allowance(len(body))
        if len(body) <= LARGE:
            return self._decoded(body, allowance)
        with allowance.holding(decoding_bytes(body)):
            return self._decoded(body, allowance)

    def _decoded(self, body: bytes, allowance: Allowance) -> RecordInputs:
        if self._decode is None:
            return self._leniently(body, allowance)
        count = 0
        groups: list[list[Column]] = []
        try:
            for rows in (self._decode(body),) if len(body) <= LARGE else row_groups(body, self._decode):
                columns = self._columns(rows)
                if columns is None:
                    return self._leniently(body, allowance)
                groups.append(columns)
                count += len(rows)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._leniently(body, allowance)
        if count == 0 or (self._plain and body.count(b'"') != count * self._quotes):
            return self._leniently(body, allowance)
        joined = (
            groups[0]
            if len(groups) == 1
            else [join_columns(parts, field) for *parts, field in zip(*groups, self.schema, strict=True)]
        )
        batch = Batch(self.schema, joined, count)
        return RecordInputs(batch, lambda: self._texts(body, count), nbytes=len(body), allowance=allowance)

    def _columns(self, rows: list[Any]) -> list[Column] | None:
        """A group of rows as columns; None if the lenient decoder has to read them."""
        columns: list[Column] = []
        for values_of, builder in self._fields:
            column = builder.build(list(map(values_of, rows)))
            if column is None:
                return None
            columns.append(column)
        return columns

    def _leniently(self, body: bytes, allowance: Allowance) -> RecordInputs:
        columns, count, texts = self._lenient.decode(body, allowance)
        batch = Batch(self.schema, columns, count)
        return RecordInputs(batch, lambda: texts, nbytes=len(body), allowance=allowance, has_more=True)

    def _texts(self, body: bytes, count: int) -> list[bytes]:
        if not self._plain:
            return [bytes(raw) for rows in row_groups(body, decode_raw_rows) for raw in rows]
        if count == 1:
            return [body[body.index(b"{") : body.rindex(b"}") + 1]]
        texts: list[bytes] = []
        start, last = 0, body.rindex(b"}")
        while start <= last:
            end = body.index(b"}", min(start + PIECE_BYTES, last)) + 1
            texts += [piece[piece.index(b"{") :] + b"}" for piece in body[start : end - 1].split(b"}")]
            start = end
        return texts


def decoding_bytes(body: bytes) -> int:
    """The Python objects that JSON becomes for a moment, or a little more: numbers and texts, lists, rows and their fields."""
    return (
        2 * len(body) + 48 * body.count(b",") + 96 * body.count(b"[") + 240 * body.count(b"{") + 64 * body.count(b":")
    )


def _strict(schema: pa.Schema, names: Sequence[str]) -> Callable[[bytes], list[Any]]:
    row = msgspec.defstruct(
        "Row",
        [(name, json_type(field.type)) for name, field in zip(names, schema, strict=True)],
        rename=dict(zip(names, schema.names, strict=True)),
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(list[row]).decode  # type: ignore[valid-type]


def _is_plain(field: pa.Field, builder: ColumnBuilder) -> bool:
    return builder.is_numeric and not any(sign in field.name for sign in '{}"\\')


def _inferred(texts: list[bytes]) -> pa.Array:
    array = None
    try:
        values = [orjson.loads(text) for text in texts]
        if _cells_within(values, max(FREE_CELLS, CELLS_A_BYTE * sum(map(len, texts)))):
            array = pa.array(values)
    except (pa.ArrowException, OverflowError, orjson.JSONDecodeError):
        pass
    if array is None or _depth(array.type) > MAX_DEPTH:
        # Columns that mix types have no Arrow type, and objects with ever new keys would have far too many members: return their
        # JSON text.
        return pa.array([text.decode() for text in texts])
    return array


def _cells_within(values: list[Any], most: int) -> bool:
    """Whether values have at most so many entries as Arrow: an object in it has the members of all objects beside it."""
    cells, columns = 0, [values]
    while columns:
        column = columns.pop()
        cells += len(column)
        items = [item for value in column if isinstance(value, list) for item in value]
        objects = [value for value in column if isinstance(value, dict)]
        names = {name for value in objects for name in value}
        if cells + len(items) + len(names) * len(column) > most:
            return False
        columns += [[value.get(name) for value in objects] for name in names]
        cells += len(names) * (len(column) - len(objects))
        if items:
            columns.append(items)
    return True


def _depth(kind: pa.DataType) -> int:
    return 1 + max((_depth(kind.field(index).type) for index in range(kind.num_fields)), default=0)
