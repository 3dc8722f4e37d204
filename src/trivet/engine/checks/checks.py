"""Validations: named conditions over the columns of requests and answers. True means anomaly.

An expression has columns `in.<name>` and `out.<name>` in the types of the pipeline's schemas; fixed-size lists become plain
lists, so that `.list.get(i)` works on all of them. polars is imported with the first validation.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from trivet.domain.pipeline import Validation
from trivet.engine.batch import Batch
from trivet.engine.canned import canned_batch
from trivet.engine.checks.expressions import Expression
from trivet.engine.checks.validations import RESERVED, read_validations
from trivet.errors import Invalid, ModelFailed

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Anomalies", "Checks"]

log = logging.getLogger(__name__)

TRIES = 3
NODE_ROW_NS = 20
BYTE_NS = 0.25
POSITION_BYTE_NS = 10
"""A position of a pattern, for each byte of text, at worst."""


@dataclass(frozen=True, slots=True)
class Anomalies:
    """The result of the validations of one request.

    Attributes:
        count: the number of true validations of each row, uint32 `[rows]`.
        columns: each validation's results, bool `[rows]`, sorted by name.
    """

    count: np.ndarray
    columns: dict[str, np.ndarray]


class _Column(NamedTuple):
    """A column that an expression uses."""

    name: str
    kind: pa.DataType
    output: int | None


class Checks:
    """A pipeline's validations. Safe to use from several threads.

    Args:
        validations: names and expressions. One called `count` is left out with a warning: that column counts the others.
        input_schema: of requests.
        output_schema: of answers.

    Raises:
        Invalid: an expression uses a column that does not exist, or does not return true or false for each row.
        Conflict: two validations have one name.
        TooLarge: there are too many, or they cost too much.
        Unsupported: polars is not installed.
    """

    def __init__(self, validations: Sequence[Validation], input_schema: pa.Schema, output_schema: pa.Schema) -> None:
        known = _known_columns(input_schema, output_schema)
        kinds = {name: column.kind for name, column in known.items()}
        if any(validation.name == RESERVED for validation in validations):
            log.warning("the name %r is reserved: the validation is ignored", RESERVED)
        expressions = read_validations([each for each in validations if each.name != RESERVED], kinds)
        _check_columns(expressions, known)
        self._names = sorted(expressions)
        self._columns = [
            known[name] for name in sorted({name for each in expressions.values() for name in each.columns})
        ]
        self._kinds = {column.name: _offered_type(column.kind) for column in self._columns}
        self._exprs = [_verdict(name, expressions[name]) for name in self._names]
        costs = [each.cost for each in expressions.values()]
        self._nodes = sum(cost.nodes for cost in costs)
        self._byte_ns = sum(BYTE_NS * (cost.nodes + cost.growth) + POSITION_BYTE_NS * cost.positions for cost in costs)
        self._growth = sum(cost.growth for cost in costs)
        self._text = sum(cost.text for cost in costs)
        self._try_out(canned_batch(input_schema), canned_batch(output_schema))

    @property
    def names(self) -> Sequence[str]:
        """The validations' names, sorted."""
        return self._names

    def expected_ns(self, rows: int, nbytes: int) -> int:
        """About how long `evaluate` takes, at worst.

        Args:
            rows: of the request.
            nbytes: of its columns and of the answer's.
        """
        per_row = self._nodes * NODE_ROW_NS + self._text * BYTE_NS
        return int(self._fixed_ns + rows * per_row + nbytes * self._byte_ns)

    def text_bytes(self, rows: int, nbytes: int) -> int:
        """How many bytes of text `evaluate` may hold, beside what it is given."""
        return self._growth * nbytes + self._text * rows

    def evaluate(self, inputs: Mapping[str, pa.Array | pa.ChunkedArray], outputs: Batch) -> Anomalies:
        """Evaluate the validations of each row.

        Args:
            inputs: the request's columns by name; a missing one is null in every row.
            outputs: the pipeline's answer.

        Raises:
            ModelFailed: polars cannot evaluate a validation on these values.
        """
        import polars as pl

        rows = outputs.rows
        columns = {column.name: self._offered(column, inputs, outputs) for column in self._columns}
        try:
            verdicts = _evaluated(pl.DataFrame(pa.RecordBatch.from_pydict(columns)), self._exprs)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise ModelFailed(
                "failed to evaluate the validations",
                why=_first_line(error),
                fix="fix the expression and deploy again, or remove it",
                reason="validation_failed",
            ) from error
        count = np.zeros(rows, dtype=np.uint32)
        found = dict(zip(self._names, verdicts, strict=True))
        for verdict in verdicts:
            count += verdict
        return Anomalies(count, found)

    def _offered(self, column: _Column, inputs: Mapping[str, pa.Array | pa.ChunkedArray], outputs: Batch) -> pa.Array:
        kind = self._kinds[column.name]
        if column.output is not None:
            array = outputs.arrow(column.output)
        else:
            array = inputs.get(column.name.removeprefix("in."))
            if array is None:
                return pa.nulls(outputs.rows, kind)
            if isinstance(array, pa.ChunkedArray):
                array = array.combine_chunks()
                if isinstance(array, pa.ChunkedArray):
                    array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.nulls(0, array.type)
        return _as_offered(array, kind)

    def _try_out(self, inputs: Batch, outputs: Batch) -> None:
        """Evaluate each validation by itself on a row of zeros, so that a wrong one fails the deploy and not a request."""
        import polars as pl

        given = {name: inputs.arrow(index) for index, name in enumerate(inputs.schema.names)}
        frame = pl.DataFrame(
            pa.RecordBatch.from_pydict({column.name: self._offered(column, given, outputs) for column in self._columns})
        )
        for name, expr in zip(self._names, self._exprs, strict=True):
            try:
                kind = frame.select(expr).schema[name]
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
                raise Invalid(
                    f"validation {name!r} cannot be evaluated",
                    why=_first_line(error),
                    fix=f"check the columns' types: {self._types_of(expr)}",
                    reason="bad_expression",
                ) from error
            if kind not in (pl.Boolean, pl.Null):
                raise Invalid(
                    f"validation {name!r} is not a condition",
                    why=f"it returns {kind} for each row",
                    fix='compare it with something: pl.col("out.dense_1").list.get(0) > 0.9',
                    reason="bad_expression",
                )

        self._fixed_ns = min(_duration_ns(frame, self._exprs) for _ in range(TRIES))

    def _types_of(self, expr: "pl.Expr") -> str:
        return ", ".join(f"{name} is {self._kinds[name]}" for name in sorted(set(expr.meta.root_names())))


def _known_columns(input_schema: pa.Schema, output_schema: pa.Schema) -> dict[str, _Column]:
    columns = [_Column(f"in.{field.name}", field.type, None) for field in input_schema]
    columns += [_Column(f"out.{field.name}", field.type, index) for index, field in enumerate(output_schema)]
    return {column.name: column for column in columns}


def _check_columns(expressions: Mapping[str, Expression], known: Mapping[str, _Column]) -> None:
    for validation, expression in expressions.items():
        for name in sorted(expression.columns - known.keys()):
            raise Invalid(
                f"validation {validation!r} uses {name!r}, which does not exist",
                fix=f"known are {', '.join(known)}",
                reason="bad_expression",
            )


def _verdict(name: str, expression: Expression) -> "pl.Expr":
    """Null is not an anomaly."""
    return expression.expr.fill_null(value=False).alias(name)


def _evaluated(frame: "pl.DataFrame", exprs: Sequence["pl.Expr"]) -> list[np.ndarray]:
    """With `with_columns` rather than `select`, so that a constant result has a value for every row."""
    judged = frame.with_columns(exprs)
    series = judged.get_columns()[len(frame.columns) :]
    return [each.to_arrow().to_numpy(zero_copy_only=False).astype(np.bool_, copy=False) for each in series]


def _duration_ns(frame: "pl.DataFrame", exprs: Sequence["pl.Expr"]) -> int:
    started = time.perf_counter_ns()
    _evaluated(frame, exprs)
    return time.perf_counter_ns() - started


@lru_cache(maxsize=1024)
def _offered_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column for polars: lists of any length, and no type that polars lacks."""
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_offered_type(kind.value_type))
    if pa.types.is_struct(kind):
        members = [kind.field(index) for index in range(kind.num_fields)]
        return pa.struct([pa.field(member.name, _offered_type(member.type)) for member in members])
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    return kind


def _as_offered(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if array.type == kind:
        return array
    if pa.types.is_fixed_size_list(array.type) and not array.null_count:
        offsets = np.arange(len(array) + 1, dtype=np.int32) * np.int32(array.type.list_size)
        return pa.ListArray.from_arrays(pa.array(offsets), _as_offered(array.flatten(), kind.value_type))
    return array.cast(kind, safe=False)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
