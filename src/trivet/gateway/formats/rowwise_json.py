"""pandas-records where rows fail one by one: a row that failed has nulls and an `error` in its place among the others."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import orjson
import pyarrow as pa

from trivet.errors import TrivetError
from trivet.gateway.allowance import Allowance
from trivet.gateway.formats.dataset import METADATA, Selection
from trivet.gateway.formats.inputs import EchoedInputs
from trivet.gateway.formats.records import decode_raw_columns, decode_raw_rows
from trivet.gateway.formats.records_out import RecordsWriter
from trivet.gateway.formats.row_errors import FIELDS, error_bytes, fields_of
from trivet.gateway.rowwise import RowAnswers

__all__ = ["RowwiseRecordsWriter", "SentRecords"]

# Of the object that holds a row's text.
BYTES_A_ROW = 64


class SentRecords:
    """See `SentRows`.

    Args:
        body: JSON.
        decode: decodes a body.
        allowance: of the request.

    Raises:
        Invalid: it is not a list of records.
    """

    def __init__(self, body: bytes, decode: Callable[[bytes, Allowance], EchoedInputs], allowance: Allowance) -> None:
        self._decode = decode
        try:
            self.texts: list[msgspec.Raw] = decode_raw_rows(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # This says what is wrong with it.
            decode(body, allowance)
            raise
        if not self.texts:
            decode(body, allowance)
        allowance.keep(BYTES_A_ROW * len(self.texts))

    @property
    def rows(self) -> int:
        """See `SentRows.rows`."""
        return len(self.texts)

    def decode(self, rows: Sequence[int], allowance: Allowance) -> EchoedInputs:
        """See `SentRows.decode`."""
        return self._decode(b"[" + b",".join([self.texts[row] for row in rows]) + b"]", allowance)


class RowwiseRecordsWriter:
    """Writes answers of one model for one selection.

    Args:
        selection: the requested parts and columns.
        outputs: the model's output schema.
        checks: names of the pipeline's validations.
        writer: writes the rows that did not fail.
    """

    def __init__(self, selection: Selection, outputs: pa.Schema, checks: Sequence[str], writer: RecordsWriter) -> None:
        self._selection = selection
        self._writer = writer
        columns = {"out": outputs.names, "anomaly": ["count", *sorted(checks)], "metadata": METADATA}
        self._nulls = {
            part: [name for name in names if selection.includes(part, name)] for part, names in columns.items()
        }
        no_error: dict[str, Any] = (
            dict.fromkeys(f"error.{name}" for name in FIELDS) if selection.flatten else {"error": None}
        )
        self._no_error = orjson.dumps(no_error)[1:]

    def write(self, answers: RowAnswers) -> bytes:
        """The JSON body of the answers."""
        answers.allowance.check_answer(
            len(answers.errors), bytes_a_row=error_bytes(answers), echoed=answers.allowance.sent
        )
        rows: list[bytes] = [b""] * answers.sent.rows
        if answers.answer is not None:
            for row, text in zip(answers.answered, decode_raw_rows(self._writer.write(answers.answer)), strict=True):
                written = bytes(text)[:-1]
                rows[row] = written + (b"," if len(written) > 1 else b"") + self._no_error
        for row, error in answers.errors.items():
            rows[row] = self._failed(bytes(answers.sent.texts[row]), error, answers.time_ms)
        return b"[" + b",".join(rows) + b"]"

    def _failed(self, text: bytes, error: TrivetError, time_ms: int) -> bytes:
        record: dict[str, Any] = {}
        if "time" in self._selection.parts:
            record["time"] = time_ms
        if "in" in self._selection.parts and self._selection.is_plain:
            record["in"] = orjson.Fragment(text if _is_text(text) else b"null")
        else:
            self._put(record, "in", dict(self._sent_columns(text)))
        for part, names in self._nulls.items():
            self._put(record, part, dict.fromkeys(names))
        if self._selection.flatten:
            self._put(record, "error", fields_of(error))
        else:
            record["error"] = fields_of(error)
        return orjson.dumps(record)

    def _put(self, record: dict[str, Any], part: str, columns: dict[str, Any]) -> None:
        if self._selection.flatten:
            record |= {f"{part}.{name}": value for name, value in columns.items()}
        elif columns:
            record[part] = columns

    def _sent_columns(self, text: bytes) -> Iterator[tuple[str, orjson.Fragment]]:
        """The requested columns of a row; none if it is not an object."""
        if not self._selection.touches("in") or not _is_text(text):
            return
        try:
            columns = decode_raw_columns(text)
        except (msgspec.MsgspecError, RecursionError):
            return
        for name, value in columns.items():
            if self._selection.includes("in", name):
                yield name, orjson.Fragment(bytes(value))


def _is_text(text: bytes) -> bool:
    """Whether it is UTF-8. Only then it may be part of an answer."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
