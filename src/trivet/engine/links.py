"""A link to one worker: an Arrow Flight stream over a Unix socket, driven by a thread of its own.

pyarrow's Flight client blocks, so each link has one thread. It takes what waits, joins it into one record batch, writes it,
reads the answer and hands that to the event loop. On the stream a request and its answer alternate strictly.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import msgspec
import pyarrow as pa
from pyarrow import flight

from trivet.engine.batch import Batch, concat
from trivet.errors import Internal, Invalid, ModelFailed, TrivetError

__all__ = ["Broken", "Job", "Link", "Outcome", "Worker"]

Outcome: TypeAlias = Batch | TrivetError


class Worker(Protocol):
    """What the engine knows of a running worker process."""

    @property
    def address(self) -> str:
        """`grpc+unix:///…`."""

    async def obituary(self) -> str:
        """How it ended and the last lines of its log; waits a moment for the end."""

    def kill(self) -> None:
        """End it at once."""


class Broken(Exception):
    """The stream ended or cannot be trusted any more."""


class Job:
    """A request that waits for a worker, or is in its hands."""

    __slots__ = ("abandoned", "batch", "came", "deadline", "deliver", "link", "nbytes", "rows")

    def __init__(self, batch: Batch, *, deliver: Callable[[Outcome], None], came: float, deadline: float) -> None:
        self.batch = batch
        self.rows = batch.rows
        self.nbytes = batch.nbytes
        self.deliver = deliver
        self.came = came
        self.deadline = deadline
        self.link: Link | None = None
        self.abandoned = False


class _RemoteError(msgspec.Struct):
    reason: str
    message: str
    type: str = ""
    path: str | None = None


class _AnswerMetadata(msgspec.Struct):
    error: _RemoteError | None = None


_decode_metadata = msgspec.json.Decoder(_AnswerMetadata).decode


class Link:
    """One stream to one worker.

    Args:
        worker: the process at the other end.
        most_rows: a call has no more rows than these: a larger request is cut. None leaves it to the model.
        take: blocks until jobs wait, and gives them; an empty list ends the thread.
        done: called in the link's thread with jobs and their outcomes.
        lost: called in the link's thread with the jobs that were in the worker's hands when the stream broke.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        input_schema: pa.Schema,
        output_schema: pa.Schema,
        most_rows: int | None,
        take: "Callable[[Link], list[Job]]",
        done: "Callable[[Link, list[Job], list[Outcome]], None]",
        lost: "Callable[[Link, list[Job]], None]",
    ) -> None:
        self.worker = worker
        self.held: Job | None = None
        self.closing = False
        self.cut = False
        self._input_schema = input_schema
        self._output_schema = output_schema
        self._most_rows = most_rows
        self._take = take
        self._done = done
        self._lost = lost
        self._thread = threading.Thread(target=self._run, name="worker-link", daemon=True)

    def start(self) -> None:
        """Connect and begin to take jobs."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        jobs: list[Job] = []
        try:
            with flight.FlightClient(self.worker.address) as client:
                writer, reader = client.do_exchange(flight.FlightDescriptor.for_path(b"predict"))
                try:
                    writer.begin(self._input_schema)
                    while jobs := self._take(self):
                        self._done(self, jobs, self._answer(jobs, writer, reader))
                        # No reference to the last answer is kept while the next jobs are waited for.
                        jobs = []
                finally:
                    # Also on a broken stream: closed here it raises, closed by its destructor it would write to stderr.
                    writer.close()
        except (pa.ArrowException, msgspec.MsgspecError, OSError, Broken, StopIteration):
            self._lost(self, jobs)

    def _answer(
        self, jobs: Sequence[Job], writer: flight.FlightStreamWriter, reader: flight.FlightStreamReader
    ) -> list[Outcome]:
        if self._most_rows is not None and jobs[0].rows > self._most_rows:
            # Too large for one call, and therefore alone.
            return [self._in_pieces(jobs[0].batch, self._most_rows, writer, reader)]
        outcome = self._exchange([job.batch for job in jobs], writer, reader)
        if len(jobs) == 1:
            return [outcome]
        if isinstance(outcome, TrivetError):
            # One bad request must not fail its neighbours: each is tried alone.
            return [self._exchange([job.batch], writer, reader) for job in jobs]
        return _split(outcome, [job.rows for job in jobs])

    def _in_pieces(
        self, batch: Batch, most_rows: int, writer: flight.FlightStreamWriter, reader: flight.FlightStreamReader
    ) -> Outcome:
        answers: list[Batch] = []
        for start in range(0, batch.rows, most_rows):
            outcome = self._exchange([batch.slice(start, min(most_rows, batch.rows - start))], writer, reader)
            if isinstance(outcome, TrivetError):
                return outcome
            answers.append(outcome)
        return concat(answers)

    def _exchange(
        self, batches: list[Batch], writer: flight.FlightStreamWriter, reader: flight.FlightStreamReader
    ) -> Outcome:
        try:
            request = concat(batches).record_batch()
        except (pa.ArrowException, TrivetError, ValueError, TypeError) as error:
            return error if isinstance(error, TrivetError) else Internal("the batch cannot be sent", why=str(error))
        writer.write_batch(request)
        chunk = reader.read_chunk()
        if chunk.data is None:
            return _remote_error(chunk.app_metadata)
        answer = chunk.data
        if answer.num_rows != request.num_rows or answer.schema != self._output_schema:
            raise Broken
        return Batch.of_record_batch(answer)


def _split(answer: Batch, rows: Sequence[int]) -> list[Outcome]:
    """Give each request its own rows back."""
    whole = Batch(answer.schema, [_sliceable(answer, index) for index in range(len(answer.schema))], answer.rows)
    outcomes: list[Outcome] = []
    start = 0
    for count in rows:
        outcomes.append(whole.slice(start, count))
        start += count
    return outcomes


def _sliceable(answer: Batch, index: int) -> "pa.Array":
    """Numbers become numpy once, for all; what numpy holds as objects is cut in Arrow."""
    values = answer.numpy(index)
    return answer.columns[index] if values.dtype == object else values


def _remote_error(metadata: pa.Buffer | None) -> TrivetError:
    if metadata is None:
        raise Broken
    error = _decode_metadata(metadata).error
    if error is None:
        raise Broken
    if error.reason == "model_output_mismatch":
        return ModelFailed(
            "the model answered something else than it declares",
            why=error.message,
            fix="mend the model's code, or its output schema",
            path=error.path,
            reason=error.reason,
        )
    what = f"{error.type}: {error.message}" if error.type else error.message
    if error.reason == "invalid_input":
        return Invalid(what, path=error.path, reason="refused_by_model")
    return ModelFailed(what, path=error.path, reason=error.reason)
