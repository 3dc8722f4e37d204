"""Native sessions: ONNX models in this process, on ONNX Runtime.

A file is loaded here only after `packaging` has parsed and checked it: no custom operators, external data only from the
package. How rows become calls is in `trivet_worker.onnx_rows`, because a worker does the same.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pyarrow as pa

from trivet.domain.memory_bounds import MemoryBounds
from trivet.domain.onnx_calls import OnnxCalls
from trivet.domain.onnx_graph import optional_inputs, outputs_that_select
from trivet.domain.routes import CPU
from trivet.engine.batch import Batch, Column
from trivet.engine.limits import MOST_CALL_BYTES
from trivet.engine.native.canned_feeds import VARIED, filled, nothing, varied
from trivet.engine.native.declared import parsed_file
from trivet.engine.native.ends import input_tensors, output_tensors
from trivet.engine.native.memory import CallMemory
from trivet.errors import BadPackage, Invalid, ModelFailed, Unsupported
from trivet_worker.onnx_rows import NotATensor, RowCalls, WrongRows, piece, session_reason
from trivet_worker.onnx_tensors import ABSENT, Tensor, optional_nodes

__all__ = ["NativeSession"]

# With this many rows, a dimension of the same size is hardly an accident.
TRIAL_ROWS = 7

# Sizes tried for the free dimensions of a model without example rows: 1 suits most, networks over images need more.
TRIAL_SIZES = (1, 16, 64, 224)


class NativeSession:
    """A loaded ONNX model that answers batches. Safe to call from several threads.

    Args:
        path: the checked model file.
        tensor_fields: names for the inputs, in the model's own order; None keeps the model's names.
        single: makes one call a row.
        threads: for operators inside one call.
        providers: what ONNX Runtime runs it on, the preferred first.
        example: makes rows for the trial from the input schema; without it the model is tried with zeros.
        bounds: of the memory of a call; None sets no limit.
        most_bytes: what a call may take by these bounds.

    Raises:
        Unsupported: ONNX Runtime does not have one of the providers.
        BadPackage: ONNX Runtime cannot load the model, or rows cannot hold its inputs or outputs.
        Invalid: `tensor_fields` does not fit the model.
    """

    def __init__(
        self,
        path: Path,
        *,
        tensor_fields: Sequence[str] | None = None,
        single: bool = False,
        threads: int = 1,
        providers: Sequence[str] = CPU,
        example: Callable[[pa.Schema], Batch] | None = None,
        bounds: MemoryBounds | None = None,
        most_bytes: int = MOST_CALL_BYTES,
    ) -> None:
        _check_providers(path, providers)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Errors are raised with the same text: the log would only repeat it.
        options.log_severity_level = 4
        # Spinning threads would take the cores that the gateway and the workers need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # An arena would keep what the largest call took for as long as the session lives; malloc is as fast, and gives it back.
        options.enable_cpu_mem_arena = False
        try:
            self._session = ort.InferenceSession(str(path), options, providers=list(providers))
        except Exception as error:
            raise BadPackage(
                f"ONNX Runtime {ort.__version__} cannot load {path.name}",
                why=session_reason(error),
                fix="check the file with onnx.checker.check_model, and that it is complete",
            ) from error
        self._single = single
        with_default = self._session.get_overridable_initializers()
        parsed = cache(parsed_file)
        self._optional = optional_inputs(parsed(path)) if with_default else ()
        self._tensors = input_tensors(
            self._session.get_inputs(),
            optional_nodes(with_default, self._optional),
            tensor_fields=tensor_fields,
            single=single,
        )
        self.inputs = [tensor for tensor in self._tensors if not tensor.optional]
        self._indices = range(len(self._tensors))
        self._outputs = output_tensors(self._session.get_outputs())
        self._names = [output.name for output in self._outputs]
        fixed = {tensor.rows for tensor in self.inputs if isinstance(tensor.rows, int)}
        if any(tensor.rows == ABSENT for tensor in self.inputs) or len(fixed) > 1:
            single = True
        self._rows_a_call: int | None = 1 if single else next(iter(fixed), None)
        self.input_schema = pa.schema([tensor.field for tensor in self._tensors])
        self.output_schema = self.input_schema
        self._whole_row = [False] * len(self._outputs)
        given = None if example is None else example(self.input_schema)
        self.canned = given if given is not None else Batch(self.input_schema, [], 0)
        # A harmless graph, whose bounds are known, selects nothing.
        selects = bounds is None and self._rows_a_call is None and bool(outputs_that_select(parsed(path)))
        self._try_out(given, (1,) if selects else (TRIAL_ROWS, 1))
        self._memory = CallMemory(bounds, most_bytes=most_bytes)
        self._most_rows = self._memory.most_rows if self._rows_a_call is None else sys.maxsize
        self._rows = RowCalls(self._tensors, self._names, rows_a_call=self._rows_a_call, whole_row=self._whole_row)
        # All rows in one call, and of one size: their number says what the call may take.
        self._by_rows = self._rows_a_call is None and self._rows.rectangular

    @property
    def joins(self) -> bool:
        """Whether rows of several requests may share a call: any number of rows, all of one shape."""
        return self._rows_a_call is None and self._rows.rectangular

    @property
    def rectangular(self) -> bool:
        """Whether all rows have one size."""
        return self._rows.rectangular

    @property
    def calls(self) -> OnnxCalls:
        """How rows become calls, for a session of the same file in a worker."""
        return OnnxCalls(
            columns=tuple(tensor.column for tensor in self._tensors),
            optional=self._optional,
            single=self._single,
            rows_a_call=self._rows_a_call,
            whole_row=tuple(self._whole_row),
            shapes=(None,) * len(self._outputs),
        )

    def run(self, batch: Batch, run_options: ort.RunOptions | None = None) -> Batch:
        """Answer a batch, one row of output for each row of input.

        Raises:
            ModelFailed: ONNX Runtime refused the values, or an output has another number of rows than the input.
            TooLarge: a call of so many rows may take too much memory.
        """
        if batch.rows > self._most_rows:
            raise self._memory.too_many(batch.rows)
        values = [batch.numpy(index) for index in self._indices]

        def call(feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            return self._call(feeds, run_options)

        try:
            watched = call if self._by_rows else self._memory.watched(call)
            columns = self._rows.answer(watched, values, batch.rows)
        except WrongRows as error:
            raise _wrong_rows(error) from error
        except NotATensor as error:
            raise _not_a_tensor(error) from error
        return Batch(self.output_schema, columns, batch.rows)

    def _call(self, feeds: dict[str, np.ndarray], run_options: ort.RunOptions | None) -> list[np.ndarray]:
        try:
            return self._session.run(self._names, feeds, run_options)  # type: ignore[no-any-return]
        except Exception as error:
            raise ModelFailed("the model refused the values", why=session_reason(error)) from error

    def _try_out(self, example: Batch | None, sizes: Sequence[int]) -> None:
        """Run canned rows, to learn how the outputs hold rows and to warm up.

        A model whose first dimension is free is tried with several rows. In some, the exporter wrote the number of rows into an
        operator: those that answer one row get one row a call. Where the rows of an output depend on values, their number may be
        right by chance, so that only one row a call shows the truth.
        """
        failure: BadPackage | None = None
        for rows in (self._rows_a_call,) if self._rows_a_call else sizes:
            for free in TRIAL_SIZES if any(None in tensor.shape for tensor in self.inputs) else (1,):
                try:
                    feeds = self._canned_feeds(example, rows, free)
                    trials = [(rows, self._call(feeds, None))]
                    if example is None:
                        trials += self._varied_trials(feeds, rows)
                except ModelFailed as error:
                    failure = failure or _refused(error, synthetic=example is None)
                    continue
                odd = next(filter(None, (self._without_rows(answers, count) for count, answers in trials)), None)
                if odd is not None and (rows > 1 or self._rows_a_call is None):
                    failure = odd if rows > 1 else failure or odd
                    break
                if rows == 1:
                    self._rows_a_call = 1
                self._learn(trials)
                if example is None:
                    columns: list[Column] = [
                        nothing(tensor.field) if tensor.optional else tensor.zeros(1, free) for tensor in self._tensors
                    ]
                    self.canned = Batch(self.input_schema, columns, 1)
                return
        assert failure is not None
        raise failure

    def _varied_trials(self, feeds: dict[str, np.ndarray], rows: int) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Answers to other values, in other numbers of rows where these are free: one that is refused shows nothing."""
        counts = (2, 3) if self._rows_a_call is None and rows > 1 else (rows,) * len(VARIED)
        for kind, count in enumerate(counts):
            some = {name: varied(value if count == rows else value[:count], kind=kind) for name, value in feeds.items()}
            with suppress(ModelFailed):
                yield count, self._call(some, None)

    def _canned_feeds(self, example: Batch | None, rows: int, free: int) -> dict[str, np.ndarray]:
        if example is None:
            return {tensor.name: filled(tensor, rows, free) for tensor in self.inputs}
        try:
            return {
                tensor.name: piece(tensor, example.numpy(index), start=0, count=1, size=rows)
                for index, tensor in enumerate(self.inputs)  # optional inputs come after them
            }
        except NotATensor as error:
            raise _not_a_tensor(error) from error

    def _carries_rows(self, output: Tensor, answer: np.ndarray, rows: int) -> bool:
        """Whether an answer's first dimension is rows. With a single row that is not certain, so the file's shape decides."""
        return answer.ndim > 0 and answer.shape[0] == rows and (rows > 1 or output.rows in (None, 1))

    def _without_rows(self, answers: list[np.ndarray], rows: int) -> BadPackage | None:
        for output, answer in zip(self._outputs, map(np.asarray, answers), strict=True):
            if not self._carries_rows(output, answer, rows):
                return BadPackage(
                    f"output '{output.name}' has no row for each row of input",
                    why=f"{rows} row{'s' if rows > 1 else ''} went in and its shape is {list(answer.shape)}",
                    fix="export the model with a first dimension for rows, or serve it with --batch-config single",
                )
        return None

    def _learn(self, trials: Sequence[tuple[int, list[np.ndarray]]]) -> None:
        learnt: list[Tensor] = []
        for index, output in enumerate(self._outputs):
            answers = [(count, np.asarray(each[index])) for count, each in trials]  # one of rank 0 comes as a scalar
            carries_rows = all(self._carries_rows(output, answer, count) for count, answer in answers)
            answer = answers[0][1]
            self._whole_row[index] = not carries_rows
            actual = answer.shape[1:] if carries_rows else answer.shape
            declared = output.shape if carries_rows else (output.rows, *output.shape)
            known = len(declared) == len(actual)
            shape = (
                tuple(size if isinstance(size, int) else None for size in declared) if known else (None,) * len(actual)
            )
            learnt.append(
                Tensor(
                    name=output.name,
                    column=output.column,
                    element=output.element,
                    dtype=output.dtype,
                    shape=shape,
                    rows=ABSENT if self._whole_row[index] else output.rows,
                )
            )
        self.output_schema = pa.schema([tensor.field for tensor in learnt])


def _check_providers(path: Path, providers: Sequence[str]) -> None:
    available = ort.get_available_providers()
    missing = [name for name in providers if name not in available]
    if missing:
        raise Unsupported(
            f"{path.name} cannot run on {', '.join(missing)}",
            why=f"ONNX Runtime {ort.__version__} of this installation has {', '.join(available)}",
            fix="choose one of these, or install the build of ONNX Runtime that has it",
        )


def _refused(error: ModelFailed, *, synthetic: bool) -> BadPackage:
    return BadPackage(
        "the model cannot answer a canned row of zeros" if synthetic else "the model refuses the example row",
        why=error.why,
        fix="give valid rows as `example:` in trivet.yaml",
        reason="canned_row_failed",
    )


def _wrong_rows(error: WrongRows) -> ModelFailed:
    return ModelFailed(str(error), why=f"its shape is {error.shape}", path=error.name, reason="model_output_mismatch")


def _not_a_tensor(error: NotATensor) -> Invalid:
    return Invalid(
        str(error), why=error.why, fix="send lists of one length and without nulls within a row", path=error.path
    )
