"""The interface of a native session, and wrappers: outputs in another shape, numbers that are refused, sessions in a chain."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa

from trivet.domain.onnx_calls import OnnxCalls
from trivet.domain.proof import Refused
from trivet.engine.batch import Batch
from trivet.engine.handover import Handover, of_step
from trivet.errors import Invalid, ModelFailed

__all__ = ["FileSession", "NativeChain", "Refusing", "Reshaped", "Session"]


class Session(Protocol):
    """A model that answers batches in this process. Safe to call from several threads."""

    @property
    def input_schema(self) -> pa.Schema:
        """The schema of a batch."""

    @property
    def output_schema(self) -> pa.Schema:
        """The schema of an answer."""

    @property
    def canned(self) -> Batch:
        """A row that it answered."""

    @property
    def joins(self) -> bool:
        """Whether rows of several requests fit into a call."""

    @property
    def rectangular(self) -> bool:
        """Whether all rows have one size: no text, and no lists of any length."""

    def run(self, batch: Batch, run_options: Any = None) -> Batch:
        """One row of output for each row of input. Raises as `Runner.predict` does."""


class FileSession(Session, Protocol):
    """The session of one model file."""

    @property
    def calls(self) -> OnnxCalls:
        """How rows become calls, for the same answers from a worker."""


class Reshaped:
    """A session whose outputs of one value a row are plain values, or lists of one.

    Args:
        session: the model.
        scalars: names of the outputs that are plain values; all others are lists.
    """

    def __init__(self, session: FileSession, *, scalars: Collection[str]) -> None:
        self._session = session
        self.input_schema = session.input_schema
        self.output_schema = pa.schema([_shaped(field, field.name in scalars) for field in session.output_schema])
        self._same = [before == after for before, after in zip(session.output_schema, self.output_schema, strict=True)]
        self._shapes = [(-1,) if field.name in scalars else (-1, 1) for field in self.output_schema]
        self.canned = session.canned
        self.joins = session.joins
        self.rectangular = session.rectangular

    @property
    def calls(self) -> OnnxCalls:
        """See `FileSession.calls`."""
        shapes = tuple(None if same else shape for same, shape in zip(self._same, self._shapes, strict=True))
        return msgspec.structs.replace(self._session.calls, shapes=shapes)

    def run(self, batch: Batch, run_options: Any = None) -> Batch:
        """See `Session.run`."""
        answer = self._session.run(batch, run_options)
        columns = [
            answer.columns[index] if same else answer.numpy(index).reshape(shape)
            for index, (same, shape) in enumerate(zip(self._same, self._shapes, strict=True))
        ]
        return Batch(self.output_schema, columns, answer.rows)


class Refusing:
    """A session that refuses the numbers that the model refuses which it was converted from.

    Args:
        session: of the converted file.
        refused: the numbers.
    """

    def __init__(self, session: FileSession, refused: Refused) -> None:
        self._session = session
        self._refused = refused
        self._floats = [index for index, field in enumerate(session.input_schema) if _has_floats(field.type)]
        self.input_schema = session.input_schema
        self.output_schema = session.output_schema
        self.canned = session.canned
        self.joins = session.joins
        self.rectangular = session.rectangular

    @property
    def calls(self) -> OnnxCalls:
        """See `FileSession.calls`."""
        return self._session.calls

    def run(self, batch: Batch, run_options: Any = None) -> Batch:
        """See `Session.run`.

        Raises:
            ModelFailed: a number is refused.
        """
        for index in self._floats:
            values = batch.numpy(index)
            if not np.isfinite(values).all() or self._refused.beyond not in (None, np.inf):
                self._check(values, batch.schema.field(index).name)
        return self._session.run(batch, run_options)

    def _check(self, values: np.ndarray, column: str) -> None:
        limit = self._refused.beyond
        if self._refused.nan and np.isnan(values).any():
            what = "NaN"
        elif limit is not None and (np.abs(values) >= limit).any():
            what = "infinity" if np.isinf(values).any() else "a number that is too large for float32"
        else:
            return
        raise ModelFailed(f"the model refused the values: {column!r} has {what}")


def _has_floats(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind.value_type if pa.types.is_nested(kind) else kind))


def _shaped(field: pa.Field, is_scalar: bool) -> pa.Field:
    if is_scalar and pa.types.is_fixed_size_list(field.type):
        return field.with_type(field.type.value_type)
    if not is_scalar and not pa.types.is_nested(field.type):
        return field.with_type(pa.list_(field.type, 1))
    return field


class NativeChain:
    """Several sessions in a chain: requests that share a call share it through all of them.

    Args:
        sessions: in order, two or more.
        handovers: for each session except the first, its inputs from the previous one's outputs.
    """

    def __init__(self, sessions: Sequence[Session], handovers: Sequence[Handover]) -> None:
        self._first = sessions[0]
        self._name = handovers[0].before
        self._later = list(zip(sessions[1:], handovers, strict=True))
        self.input_schema = sessions[0].input_schema
        self.output_schema = sessions[-1].output_schema
        self.canned = sessions[0].canned
        self.joins = all(session.joins for session in sessions)
        self.rectangular = all(session.rectangular for session in sessions)

    def run(self, batch: Batch, run_options: Any = None) -> Batch:
        """See `Session.run`. An error names its step."""
        name = self._name
        try:
            answer = self._first.run(batch, run_options)
            for session, handover in self._later:
                given, name = handover(answer), handover.after
                answer = session.run(given, run_options)
        except (Invalid, ModelFailed) as error:
            raise of_step(error, name) from error
        return answer
