"""A link to one worker: Arrow Flight streams to its address, driven by a thread of their own.

pyarrow's Flight client blocks, so each link has one thread. It takes what waits, joins rows into one record batch, writes it,
reads the answer and hands that to the event loop. A raw call goes alone, over a second stream. There is one call at a time.
"""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import closing
from functools import partial
from typing import Protocol

import msgspec
import pyarrow as pa
from pyarrow import flight

from trivet.domain.routes import WorkerAddress
from trivet.engine.batch import Batch, concat
from trivet.engine.calls import Call, Outcome, Piece, Raw, Rows
from trivet.engine.model_errors import ModelError, error_of
from trivet.engine.raw_exchange import RawExchange, Stream
from trivet.errors import Internal, TrivetError, Unavailable
from trivet_worker.tensors import fixed_shape

__all__ = ["Broken", "Job", "Link", "Worker"]


class Worker(Protocol):
    """What the engine knows of a running worker."""

    @property
    def address(self) -> WorkerAddress:
        """Where it answers."""

    async def wait(self) -> str:
        """Wait for its end. Returns how it ended, with the last lines of its log."""

    def kill(self) -> None:
        """Have it ended at once."""


class Broken(Exception):
    """The stream ended or cannot be trusted any more."""


class Job:
    """A call that waits for a worker, or that a worker holds.

    Attributes:
        abandoned: it has its outcome already; what a worker answers is not delivered.
        left: the caller has gone; the call has no outcome yet.
    """

    __slots__ = ("_form", "abandoned", "call", "came", "deadline", "deliver", "joins", "left", "link", "nbytes", "rows")

    def __init__(self, call: Call, *, deliver: Callable[[Outcome], None], came: float, deadline: float) -> None:
        self.call = call
        self.joins = call.joins
        self.rows = call.rows
        self.nbytes = call.nbytes
        self.deliver = deliver
        self.came = came
        self.deadline = deadline
        self.link: Link | None = None
        self.abandoned = False
        self.left = False
        self._form: Hashable = None

    @property
    def form(self) -> Hashable:
        """See `Sized`."""
        if self._form is None:
            self._form = self.call.form
        return self._form


class _AnswerMetadata(msgspec.Struct):
    error: ModelError | None = None


# The outcome of a call whose caller has gone: it counts as ended, and is not delivered.
_LEFT = Unavailable("the client has gone")
_decode_metadata = msgspec.json.Decoder(_AnswerMetadata).decode


# Longer calls are worth more than the way to a worker: the next one is ready when they end.
QUICK_S = 0.002


class Link:
    """The streams to one worker.

    Args:
        worker: the process at the other end.
        most_raw_bytes: that the answer of a raw call may have.
        most_rows: a call has no more rows than these: a larger request is cut. None leaves it to the model.
        take: blocks until jobs wait, and gives them; an empty list ends the thread.
        done: called in the link's thread with jobs and their outcomes.
        piece: called in the link's thread with a job and a piece of its answer that is not the last.
        lost: called in the link's thread with the jobs that the worker held when the stream broke.

    Attributes:
        busy: set by `take` with the jobs, and cleared before `done`.
        is_quick: whether the last call took little time.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        input_schema: pa.Schema,
        output_schema: pa.Schema,
        most_rows: int | None,
        most_raw_bytes: int,
        take: "Callable[[Link], list[Job]]",
        done: "Callable[[Link, list[Job], list[Outcome]], None]",
        piece: Callable[[Job, Piece], None],
        lost: "Callable[[Link, list[Job]], None]",
    ) -> None:
        self.worker = worker
        self.held: Job | None = None
        self.closing = False
        self.cut = False
        self.busy = False
        self.is_quick = False
        self._input_schema = input_schema
        self._output_schema = output_schema
        self._most_rows = most_rows
        self._most_raw_bytes = most_raw_bytes
        self._take = take
        self._done = done
        self._piece = piece
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
            address = self.worker.address
            options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {address.token}".encode())])
            with flight.FlightClient(address.location, tls_root_certs=address.ca or None) as client:

                def open_stream(path: bytes) -> Stream:
                    return client.do_exchange(flight.FlightDescriptor.for_path(path), options)  # type: ignore[no-any-return]

                raw = RawExchange(open_stream, most_bytes=self._most_raw_bytes)
                writer, reader = open_stream(b"predict")
                # Also on a broken stream: closed here it raises, closed by its destructor it would write to stderr.
                with closing(writer), closing(raw):
                    writer.begin(self._input_schema)
                    while jobs := self._take(self):
                        began = time.perf_counter()
                        outcomes = self._answer(jobs, writer, reader, raw)
                        self.is_quick = time.perf_counter() - began < QUICK_S
                        self.busy = False
                        self._done(self, jobs, outcomes)
                        # No reference to the last answer is kept while the next jobs are waited for.
                        jobs, outcomes = [], []
        except (pa.ArrowException, msgspec.MsgspecError, OSError, Broken, StopIteration):
            self._lost(self, jobs)

    def _answer(
        self,
        jobs: Sequence[Job],
        writer: flight.FlightStreamWriter,
        reader: flight.FlightStreamReader,
        raw: RawExchange,
    ) -> list[Outcome]:
        first = jobs[0].call
        if isinstance(first, Raw):
            return [self._answer_raw(first, jobs[0], raw)]
        if self._most_rows is not None and first.rows > self._most_rows:
            # Too large for one call, and therefore alone.
            return [self._in_pieces(first.batch, self._most_rows, writer, reader, left=lambda: jobs[0].left)]
        batches = [job.call.batch for job in jobs if isinstance(job.call, Rows)]
        outcome = self._exchange(batches, writer, reader)
        if len(jobs) == 1:
            return [outcome]
        if isinstance(outcome, TrivetError):
            # One bad request must not fail its neighbours: each is tried alone.
            return [self._exchange([batch], writer, reader) for batch in batches]
        return _split(outcome, [job.rows for job in jobs])

    def _answer_raw(self, call: Raw, job: Job, raw: RawExchange) -> Outcome:
        outcome = None
        if not job.left:
            outcome = raw.answer(call, on_piece=partial(self._piece, job), left=lambda: job.left)
        return _LEFT if outcome is None else outcome

    def _in_pieces(
        self,
        batch: Batch,
        most_rows: int,
        writer: flight.FlightStreamWriter,
        reader: flight.FlightStreamReader,
        *,
        left: Callable[[], bool],
    ) -> Batch | TrivetError:
        answers: list[Batch] = []
        for start in range(0, batch.rows, most_rows):
            if left():
                return _LEFT
            outcome = self._exchange([batch.slice(start, min(most_rows, batch.rows - start))], writer, reader)
            if isinstance(outcome, TrivetError):
                return outcome
            answers.append(outcome)
        return concat(answers)

    def _exchange(
        self, batches: list[Batch], writer: flight.FlightStreamWriter, reader: flight.FlightStreamReader
    ) -> Batch | TrivetError:
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
    column = answer.columns[index]
    if fixed_shape(answer.schema.field(index).type) is None:  # numpy has empty lists for those that are null
        return column
    values = answer.numpy(index)
    return column if values.dtype == object else values


def _remote_error(metadata: pa.Buffer | None) -> TrivetError:
    error = None if metadata is None else _decode_metadata(metadata).error
    if error is None:
        raise Broken
    return error_of(error)
