"""One step's answer becomes the next step's input: by name, with the values unchanged."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa

from trivet.domain.schema import format_type
from trivet.domain.step_fit import check_fit, is_one_wide
from trivet.engine.batch import Batch, Column
from trivet.errors import ModelFailed, TrivetError

__all__ = ["Handover", "of_step"]

E = TypeVar("E", bound=TrivetError)


class Handover:
    """Makes the next step's input of a step's answer. Columns that it does not take end here; an optional one that is missing is null.

    Args:
        before: the name of the step that answers, and its output schema.
        after: the name of the next step, and its input schema.

    Attributes:
        before: the name of the step that answers.
        after: the name of the next step.

    Raises:
        Conflict: the next step takes a column that the answer does not have.
    """

    def __init__(self, before: tuple[str, pa.Schema], after: tuple[str, pa.Schema]) -> None:
        (self.before, given), (self.after, taken) = before, after
        check_fit([(self.before, given, given), (self.after, taken, taken)])
        self._schema = taken
        indices = [given.get_field_index(field.name) for field in taken]
        pairs = list(zip(indices, taken, strict=True))
        # In most pipelines the columns are the same, and no value needs a check.
        self._unchanged = all(index >= 0 and _fits(given.field(index), field) for index, field in pairs)
        self._indices = indices
        self._whole = self._unchanged and indices == list(range(len(given)))
        self._takes: Sequence[Callable[[Batch], Column]] = [self._taking(index, field) for index, field in pairs]

    def __call__(self, answer: Batch) -> Batch:
        """The next step's input.

        Raises:
            ModelFailed: the answer has a null, or a list of a length, that the next step does not take.
        """
        if self._whole:
            return Batch(self._schema, answer.columns, answer.rows)
        if self._unchanged:
            return Batch(self._schema, [answer.columns[index] for index in self._indices], answer.rows)
        return Batch(self._schema, [take(answer) for take in self._takes], answer.rows)

    def _taking(self, index: int, field: pa.Field) -> Callable[[Batch], Column]:
        if index < 0:
            return lambda answer: pa.nulls(answer.rows, field.type)

        def take(answer: Batch) -> Column:
            column = answer.columns[index]
            given = answer.schema.field(index).type
            same = given == field.type
            if isinstance(column, np.ndarray) and column.dtype != object:
                if same:
                    return column
                if is_one_wide(given, field.type):
                    return column.reshape(answer.rows, 1) if column.ndim == 1 else column.reshape(answer.rows)
            array = answer.arrow(index)
            if is_one_wide(given, field.type) and not array.null_count:
                wrapped = pa.types.is_fixed_size_list(given)
                array = array.flatten() if wrapped else pa.FixedSizeListArray.from_arrays(array, 1)
            if array.null_count and not field.nullable:
                raise self._unfit(field, f"{self.before!r} answered null, and {self.after!r} takes none")
            if same:
                return column
            try:
                return array.cast(field.type)
            except pa.ArrowException as error:
                raise self._unfit(field, f"{self.after!r} takes {format_type(field.type)}: {error}") from error

        return take

    def _unfit(self, field: pa.Field, why: str) -> ModelFailed:
        return ModelFailed(
            f"it answered what step {self.after!r} cannot take",
            why=f"column {field.name!r}: {why}",
            fix=f"fix {self.before!r}, or what {self.after!r} takes",
            path=field.name,
            reason="model_output_mismatch",
        )


def _fits(given: pa.Field, taken: pa.Field) -> bool:
    return bool(given.type == taken.type and (taken.nullable or not given.nullable))


def of_step(error: E, name: str) -> E:
    """The same error, with the name of the step that it is about."""
    return type(error)(
        f"step {name!r}: {error.what}", why=error.why, fix=error.fix, path=error.path, reason=error.reason
    )
