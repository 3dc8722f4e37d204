"""One version of one pipeline that is being served: requests in, answers out, whichever protocol they travel in."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from trivet.engine.batch import Batch
from trivet.engine.calls import Raw, RawAnswer
from trivet.engine.checks.checks import Anomalies
from trivet.engine.failing_rows import name_row
from trivet.engine.pipeline import ServedPipeline
from trivet.errors import Invalid, ModelFailed, TrivetError
from trivet.gateway.allowance import Allowance
from trivet.gateway.answer import Answer, Inputs
from trivet.gateway.metrics import PipelineMetrics
from trivet.gateway.offloading import offloaded
from trivet.gateway.rowwise import RowwiseExchange, answer_rows, check_slice

__all__ = ["Exchange", "InferenceSink", "LivePipeline", "RawReader"]

# Writing so many bytes of outputs takes about a millisecond.
LARGE_OUTPUTS: Final = 2**16

BodyT_contra = TypeVar("BodyT_contra", contravariant=True)
InputsT = TypeVar("InputsT", bound=Inputs)
ContentT_co = TypeVar("ContentT_co", covariant=True)
BodyT = TypeVar("BodyT")
ContentT = TypeVar("ContentT")


class Exchange(Protocol[BodyT_contra, InputsT, ContentT_co]):
    """How one request is read and its answer is written. A protocol makes one from what a request says before its body."""

    def in_thread(self, body: BodyT_contra) -> bool:
        """Whether reading and writing take so long that other requests must go on meanwhile."""

    def read(self, body: BodyT_contra, allowance: Allowance) -> InputsT:
        """Decode a request, within what it may become.

        Raises:
            TrivetError: it is not a request that the pipeline takes.
        """

    def write(self, answer: Answer[InputsT]) -> ContentT_co:
        """Encode an answer.

        Raises:
            TooLarge: it would be larger than an answer may be.
        """


@dataclass(frozen=True, slots=True)
class RawReader(Generic[BodyT_contra]):
    """How one request is read where the model itself writes the answer: in the place of an `Exchange`.

    Attributes:
        read: bytes become a raw call. It raises as `Exchange.read` does.
        in_thread: whether reading takes so long that other requests must go on meanwhile.
    """

    read: Callable[[BodyT_contra, Allowance], Raw]
    in_thread: bool = False


class InferenceSink(Protocol):
    """Where answered requests are kept."""

    @property
    def dropped(self) -> Mapping[tuple[int, str], int]:
        """Rows that there was no room for, by workspace and pipeline."""

    def append(self, pipeline: ServedPipeline, inputs: Inputs, answer: Answer[Inputs]) -> None:
        """Keep a request and its answer, or drop them where there is no room. Takes microseconds, waits for nothing and
        raises nothing: it is called before the answer leaves.
        """

    def finish(self, pipeline: ServedPipeline) -> None:
        """A pipeline answers no more: what is kept for its sake can go. Waits for nothing and raises nothing."""


class LivePipeline:
    """Reads, predicts, writes, and measures all three.

    Args:
        pipeline: what answers.
        metrics: where its measurements go.
        log: keeps what was answered.

    Attributes:
        in_flight: requests that wait or are being answered.
        retired: whether another version answers in its place, or none.
        closed: whether it can answer no more at all.
    """

    def __init__(self, pipeline: ServedPipeline, *, metrics: PipelineMetrics, log: InferenceSink | None = None) -> None:
        self.pipeline = pipeline
        self.metrics = metrics
        self.in_flight = 0
        self.retired = False
        self.closed = False
        self._runner = pipeline.runner
        self._checks = pipeline.checks
        self._log = log

    async def answer(
        self,
        exchange: Exchange[BodyT, Any, ContentT] | RowwiseExchange[BodyT, ContentT],
        body: BodyT,
        allowance: Allowance,
    ) -> ContentT:
        """Answer one request.

        Raises:
            TrivetError: the request is wrong, or cannot be answered. Where a row makes the model fail, its path begins with
                the row.
        """
        started = time.perf_counter_ns()
        if isinstance(exchange, RowwiseExchange):
            return await self._answer_rowwise(exchange, body, allowance)
        in_thread = exchange.in_thread(body)
        if in_thread:
            inputs = await offloaded(partial(exchange.read, body, allowance))
        else:
            inputs = exchange.read(body, allowance)
        decoded = time.perf_counter_ns()
        try:
            outputs = self._runner.predict(inputs.batch)
            if not isinstance(outputs, Batch):
                outputs = await outputs
        except (Invalid, ModelFailed) as error:
            raise await self._with_row(error, inputs) from error
        answered = time.perf_counter_ns()
        answer = Answer(inputs, outputs, time.time_ns() // 1_000_000, (decoded - started, answered - decoded))
        if self._checks is not None:
            try:
                found = self._checks.evaluate(inputs.arrays(), outputs, started_ns=started)
                answer.anomalies = found if isinstance(found, Anomalies) else await found
            except ModelFailed as error:
                raise await self._with_row(error, inputs, outputs, started_ns=started) from error
        in_thread = in_thread or outputs.nbytes > LARGE_OUTPUTS
        content = await offloaded(partial(exchange.write, answer)) if in_thread else exchange.write(answer)
        if self._log is not None:
            self._log.append(self.pipeline, inputs, answer)
        metrics = self.metrics
        metrics.rows += outputs.rows
        metrics.model_s.observe((answered - decoded) * 1e-9)
        metrics.request_s.observe((time.perf_counter_ns() - started) * 1e-9)
        return content

    async def _answer_rowwise(
        self, exchange: RowwiseExchange[BodyT, ContentT], body: BodyT, allowance: Allowance
    ) -> ContentT:
        started = time.perf_counter_ns()
        answers = await answer_rows(exchange, body, allowance, runner=self._runner, checks=self._checks)
        content = await offloaded(partial(exchange.write, answers))
        metrics = self.metrics
        if answers.answer is not None:
            if self._log is not None:
                self._log.append(self.pipeline, answers.answer.inputs, answers.answer)
            metrics.rows += answers.answer.outputs.rows
            metrics.model_s.observe(answers.answer.elapsed_ns[1] * 1e-9)
        metrics.request_s.observe((time.perf_counter_ns() - started) * 1e-9)
        return content

    async def _with_row(
        self, error: TrivetError, inputs: Inputs, outputs: Batch | None = None, *, started_ns: int = 0
    ) -> TrivetError:
        """The error with the first row of the request that fails alone, in the model or in the validations."""
        batch = inputs.batch
        if batch.rows == 1:
            return error
        if outputs is None or self._checks is None:
            return await name_row(lambda start, rows: self._runner.predict(batch.slice(start, rows)), batch.rows, error)
        check = partial(check_slice, self._checks, inputs.arrays(), outputs, started_ns=started_ns)
        return await name_row(check, batch.rows, error)

    async def answer_raw(self, reader: RawReader[BodyT], body: BodyT, allowance: Allowance) -> RawAnswer:
        """Answer one request that the model reads itself, once it has made the first piece. Raw requests are not logged.

        The later pieces are not in the metrics' times, because those depend on how fast the client reads.

        Raises:
            TrivetError: the request is wrong, or cannot be answered.
        """
        runner = self.pipeline.raw_runner()
        started = time.perf_counter_ns()
        read = partial(reader.read, body, allowance)
        raw = await offloaded(read) if reader.in_thread else read()
        decoded = time.perf_counter_ns()
        answer = await runner.answer(raw)
        answered = time.perf_counter_ns()
        self.metrics.model_s.observe((answered - decoded) * 1e-9)
        self.metrics.request_s.observe((answered - started) * 1e-9)
        return answer
