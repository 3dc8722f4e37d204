"""Arrow where rows fail one by one: a row that failed has nulls and an `error` in its place among the others."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.engine.checks.checks import Anomalies
from trivet.gateway.allowance import Allowance
from trivet.gateway.answer import Answer
from trivet.gateway.formats.arrow_in import ArrowInputs, arrow_inputs, read_arrow
from trivet.gateway.formats.arrow_out import ArrowWriter
from trivet.gateway.formats.row_errors import FIELDS, error_bytes, fields_of
from trivet.gateway.rowwise import RowAnswers

__all__ = ["RowwiseArrowWriter", "SentTable"]

ERROR = pa.struct([pa.field(name, pa.string()) for name in FIELDS])


class SentTable:
    """See `SentRows`.

    Args:
        body: an Arrow IPC file or stream.
        schema: the model's input schema.
        output_bytes: of a row of its answer.
        allowance: of the request.

    Raises:
        Invalid: it is not Arrow, or its columns are not those of the model.
    """

    def __init__(self, body: bytes, schema: pa.Schema, output_bytes: int, allowance: Allowance) -> None:
        self.table = read_arrow(body, allowance)
        self._schema = schema
        self._output_bytes = output_bytes
        # Columns without rows show what is wrong with all of them.
        arrow_inputs(self.table.slice(0, 0), schema, allowance)

    @property
    def rows(self) -> int:
        """See `SentRows.rows`."""
        return int(self.table.num_rows)

    def decode(self, rows: Sequence[int], allowance: Allowance) -> ArrowInputs:
        """See `SentRows.decode`."""
        if rows[-1] - rows[0] + 1 == len(rows):
            chosen = self.table.slice(rows[0], len(rows))
        else:
            allowance.hold(self.table.nbytes)
            chosen = self.table.take(pa.array(rows, pa.int64()))
        inputs = arrow_inputs(chosen, self._schema, allowance)
        allowance.hold_rows(len(rows), columns=inputs.batch.nbytes, bytes_a_row=self._output_bytes)
        return inputs


class RowwiseArrowWriter:
    """Writes answers of one model for one selection.

    Args:
        writer: writes the rows that did not fail.
        outputs: the model's output schema.
        checks: names of the pipeline's validations.
        flatten: whether the parts of the error are columns.
    """

    def __init__(self, writer: ArrowWriter, outputs: pa.Schema, checks: Sequence[str], *, flatten: bool) -> None:
        self._writer = writer
        self._outputs = outputs
        self._checks = sorted(checks)
        self._flatten = flatten

    def write(self, answers: RowAnswers) -> memoryview:
        """The Arrow body of the answers."""
        sent = answers.sent.table
        echoed = sent.nbytes
        answers.allowance.check_answer(len(answers.errors), bytes_a_row=error_bytes(answers), echoed=echoed)
        answer = answers.answer or self._no_rows(answers)
        answered = self._writer.columns(answer, without="in")
        places = np.full(sent.num_rows, -1)
        places[list(answers.answered)] = np.arange(len(answers.answered))
        taken = pa.array(places, mask=places < 0)
        columns = []
        for field, column in answered:
            if field.name == "time":
                columns.append((field, pa.array(np.full(sent.num_rows, answers.time_ms))))
            else:
                columns.append((field.with_nullable(True), column.take(taken)))
        echo = ArrowInputs(Batch(pa.schema([]), [], sent.num_rows), sent, answers.allowance)
        columns[1 if columns and columns[0][0].name == "time" else 0 : 0] = self._writer.echoed(echo)
        columns += self._errors(answers)
        return self._writer.body(columns)

    def _no_rows(self, answers: RowAnswers) -> Answer[ArrowInputs]:
        """An answer without rows, which has the columns all the same."""
        inputs = ArrowInputs(Batch(pa.schema([]), [], 0), answers.sent.table.slice(0, 0), answers.allowance)
        outputs = Batch(self._outputs, [pa.array([], field.type) for field in self._outputs], 0)
        none = np.zeros(0, dtype=np.uint32)
        found = Anomalies(none, {name: none.astype(bool) for name in self._checks}) if self._checks else None
        return Answer(inputs, outputs, answers.time_ms, (0, 0), found)

    def _errors(self, answers: RowAnswers) -> list[tuple[pa.Field, pa.Array]]:
        values = [fields_of(answers.errors[row]) if row in answers.errors else None for row in range(answers.sent.rows)]
        if not self._flatten:
            return [(pa.field("error", ERROR), pa.array(values, ERROR))]
        return [
            (pa.field(f"error.{name}", pa.string()), pa.array([value and value[name] for value in values], pa.string()))
            for name in FIELDS
        ]
