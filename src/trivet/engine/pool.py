"""A model that runs in workers: one queue, as many links as there are workers, deadlines and back-pressure."""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue

import pyarrow as pa

from trivet.domain.batching import Batching
from trivet.engine.arrivals import Arrivals
from trivet.engine.batch import Batch
from trivet.engine.calls import ArrivingAnswer, Call, Outcome, Piece, Raw, RawAnswer, Rows
from trivet.engine.joining import gather, patience_s
from trivet.engine.limits import EngineLimits
from trivet.engine.links import Job, Link, Worker
from trivet.errors import DeadlineExceeded, Overloaded, TooLarge, TrivetError, Unavailable

__all__ = ["Replaced", "WorkerPool"]

SWEEP_S = 0.05
CLOSE_S = 2.0
ENDING_WAIT_S = 2.0


class Replaced(Unavailable):
    """The call waits for a worker of a version that was replaced or removed: another version has to answer it."""


class WorkerPool:
    """Answers batches and raw calls through workers that come and go. All methods belong to the event loop's thread.

    Args:
        input_schema: of every batch that is sent.
        output_schema: of every batch that comes back.
        batching: which rows share a call. A request that is not joined is not cut either, unless each of its rows is a call.
        limits: how much may wait and for how long.
    """

    def __init__(
        self, *, input_schema: pa.Schema, output_schema: pa.Schema, batching: Batching, limits: EngineLimits
    ) -> None:
        self._input_schema = input_schema
        self._output_schema = output_schema
        self._limits = limits
        self._batching = batching
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._arrivals: Arrivals[Job] = Arrivals(self._loop, self._queue.put, self._is_busy)
        self._links: dict[Worker, Link] = {}
        self._gathering = threading.Lock()
        self._live: dict[Job, None] = {}
        self._live_bytes = 0
        self._failure: TrivetError | None = None
        self._retired = False
        self._explanations: set[asyncio.Task[None]] = set()
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    @property
    def input_schema(self) -> pa.Schema:
        """What a batch must look like."""
        return self._input_schema

    @property
    def output_schema(self) -> pa.Schema:
        """What an answer looks like."""
        return self._output_schema

    @property
    def joins(self) -> bool:
        """Whether requests share calls: only where rows do not change each other's answers."""
        return self._batching == "joined"

    @joins.setter
    def joins(self, joins: bool) -> None:
        assert not self._links or self._limits.call_rows is None, "its links have their limits already"
        self._batching = "joined" if joins else "whole"

    @property
    def capacity(self) -> int:
        """How many workers are ready."""
        return sum(not link.closing for link in self._links.values())

    @property
    def waiting(self) -> int:
        """Calls that wait, or that a worker holds."""
        return len(self._live)

    def attach(self, worker: Worker) -> None:
        """A worker is ready: give it calls from now on."""
        self._failure = None
        link = Link(
            worker,
            input_schema=self._input_schema,
            output_schema=self._output_schema,
            most_rows=_most_rows(self._batching, self._limits),
            most_raw_bytes=self._limits.raw_answer_bytes,
            take=self._take,
            done=self._done,
            piece=self._piece,
            lost=self._lost,
        )
        self._links[worker] = link
        link.start()
        self._arrivals.release()

    def detach(self, worker: Worker) -> None:
        """A worker has ended or is about to: it gets no more calls."""
        link = self._links.pop(worker, None)
        if link is not None:
            link.closing = True
            # Its thread may wait for the queue: wake all; the closing one ends, the others wait again.
            for _ in range(len(self._links) + 1):
                self._queue.put(None)
            self._give_back()

    def fail(self, cause: TrivetError) -> None:
        """Refuse all calls with this cause, those that wait and those that come, until a worker is attached."""
        self._failure = cause
        self._refuse_waiting(cause)

    def retire(self) -> None:
        """This version was replaced or removed: from now on calls that no worker is ready for fail with `Replaced`."""
        self._retired = True
        self._give_back()

    async def predict(self, batch: Batch) -> Batch:
        """Send a batch to a worker, alone or with what waits beside it.

        Raises:
            TrivetError: as `Runner.predict` says.
        """
        future: asyncio.Future[Outcome] = self._loop.create_future()
        job = self._enqueue(Rows(batch, self._batching == "joined"), _deliver_to(future))
        try:
            outcome = await future
        except asyncio.CancelledError:
            self._leave(job)
            raise
        if isinstance(outcome, Batch):
            return outcome
        assert isinstance(outcome, TrivetError)
        raise outcome

    async def answer(self, raw: Raw) -> RawAnswer:
        """Send a raw call to a worker; waits for the first piece of its answer.

        Raises:
            TrivetError: as `RawRunner.answer` says.
        """
        most = self._limits.raw_body_bytes
        if raw.nbytes > most:
            raise TooLarge(
                f"the request's body has {raw.nbytes} bytes",
                why=f"the limit is {most}",
                fix="send less in one request",
            )
        arriving = ArrivingAnswer()
        job = self._enqueue(raw, arriving.deliver)
        return await arriving.begun(leave=partial(self._leave, job))

    def _enqueue(self, call: Call, deliver: Callable[[Outcome], None]) -> Job:
        if self._failure is not None:
            raise self._failure
        if self._retired and not self.capacity:
            raise _replaced()
        if len(self._live) >= self._limits.max_waiting:
            raise Overloaded(
                "too many requests wait for this model",
                why=f"the limit is {self._limits.max_waiting}",
                fix="send fewer at once, or serve it with more workers",
            )
        now = time.monotonic()
        job = Job(call, deliver=deliver, came=now, deadline=now + self._limits.timeout_s)
        if self._live and self._live_bytes + job.nbytes > self._limits.max_waiting_bytes:
            raise Overloaded(
                "too many bytes wait for this model",
                why=f"the limit is {self._limits.max_waiting_bytes // 2**20} MiB",
                fix="send less at once, or serve it with more workers",
            )
        self._live[job] = None
        self._live_bytes += job.nbytes
        if job.joins:
            self._arrivals.add(job)
        else:
            # It keeps its place behind them.
            self._arrivals.release()
            self._queue.put(job)
        return job

    async def close(self) -> None:
        """Refuse what still waits and let the links end."""
        self._sweeper.cancel()
        self.fail(Unavailable("the server is stopping"))
        links = list(self._links.values())
        for worker in list(self._links):
            self.detach(worker)
        for link in links:
            await asyncio.to_thread(link.join, CLOSE_S)
        if self._explanations:
            await asyncio.wait(self._explanations, timeout=CLOSE_S)

    def _is_busy(self) -> bool:
        """Whether each link has a call that will soon be answered. Then `_done` or `_lost` follows for each."""
        return bool(self._links) and all(link.busy and link.is_quick for link in self._links.values())

    # Below: called by the links' threads.

    def _take(self, link: Link) -> list[Job]:
        if self._limits.delay_s <= 0:
            return self._take_now(link)
        # One link at a time gathers: two at once would divide the rows that one of them waits for.
        with self._gathering:
            return self._take_now(link)

    def _take_now(self, link: Link) -> list[Job]:
        while True:
            first = link.held
            link.held = None
            while first is None:
                if link.closing:
                    return []
                first = self._queue.get()
            if link.closing:
                self._queue.put(first)
                return []
            if first.abandoned:
                continue
            jobs, link.held = gather(
                first,
                partial(self._next_waiting, first),
                max_rows=min(self._limits.join_rows, self._limits.call_rows or self._limits.join_rows),
                max_bytes=self._limits.join_bytes,
            )
            for job in jobs:
                job.link = link
            link.busy = True
            return jobs

    def _next_waiting(self, first: Job, rows: int) -> Job | None:
        """One more for a call of so many rows; waits for it only where a delay is configured."""
        limits = self._limits
        while True:
            wait_s = 0.0
            if limits.delay_s > 0:
                waited_s = time.monotonic() - first.came
                wait_s = patience_s(rows, target_rows=limits.delay_rows, waited_s=waited_s, delay_s=limits.delay_s)
            try:
                job = self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait()
            except Empty:
                return None
            if job is None and wait_s > 0:
                # A link must wake up and end, perhaps this one: the call goes with what it has.
                self._queue.put(None)
                return None
            if job is not None and not job.abandoned:
                return job

    def _done(self, _link: Link, jobs: list[Job], outcomes: list[Outcome]) -> None:
        self._loop.call_soon_threadsafe(self._finish_all, jobs, outcomes)

    def _piece(self, job: Job, piece: Piece) -> None:
        self._loop.call_soon_threadsafe(self._pass_on, job, piece)

    def _lost(self, link: Link, jobs: list[Job]) -> None:
        if link.held is not None:
            self._queue.put(link.held)
            link.held = None
        self._loop.call_soon_threadsafe(self._bury, link, jobs)

    # Below: in the event loop's thread again.

    def _leave(self, job: Job) -> None:
        """The caller does not need the answer, or the rest of it. A call that no worker holds yet is dropped."""
        job.left = True
        if job.link is None and self._live.pop(job, self) is None:
            job.abandoned = True
            self._live_bytes -= job.nbytes

    def _finish_all(self, jobs: list[Job], outcomes: list[Outcome]) -> None:
        self._arrivals.answered(len(jobs))
        for job, outcome in zip(jobs, outcomes, strict=True):
            self._finish(job, outcome)

    def _finish(self, job: Job, outcome: Outcome) -> None:
        if self._live.pop(job, self) is None:
            job.abandoned = True
            self._live_bytes -= job.nbytes
            job.deliver(outcome)

    def _pass_on(self, job: Job, piece: Piece) -> None:
        if not job.abandoned:
            job.deliver(piece)

    def _give_back(self) -> None:
        if self._retired and not self.capacity:
            self._refuse_waiting(_replaced())

    def _refuse_waiting(self, cause: TrivetError) -> None:
        for job in [job for job in self._live if job.link is None]:
            self._finish(job, cause)

    def _bury(self, link: Link, jobs: list[Job]) -> None:
        self._links.pop(link.worker, None)
        self._arrivals.release()
        self._give_back()
        task = self._loop.create_task(self._explain(link, jobs))
        self._explanations.add(task)
        task.add_done_callback(self._explanations.discard)

    async def _explain(self, link: Link, jobs: list[Job]) -> None:
        if link.cut:
            cause = Unavailable(
                "the worker was replaced while it held this request",
                why="another request in the same call ran over its deadline",
                fix="send it again",
            )
        else:
            cause = Unavailable(
                "the worker ended while it held this request",
                why=await _ending(link.worker),
                fix="send it again: a new worker is being started; if it ends again, the model's log says why",
                reason="worker_died",
            )
        # A worker that lives on without its stream is of no use either. It is ended last: a worker that is ended on purpose
        # does not say what it would have died of.
        link.worker.kill()
        for job in jobs:
            self._finish(job, cause)

    def _sweep(self) -> None:
        """End what is over its deadline. All jobs have the same time limit, so the oldest come first."""
        now = time.monotonic()
        for job in list(self._live):
            if job.deadline > now:
                break
            link = job.link
            waited = "in the queue" if link is None else "in the model"
            self._finish(
                job,
                DeadlineExceeded(
                    f"no answer within {self._limits.timeout_s:g} s",
                    why=f"the request was still {waited}",
                    fix=f"send {'fewer rows' if isinstance(job.call, Rows) else 'less'}, or raise --timeout",
                ),
            )
            if link is not None and not link.cut:
                link.cut = True
                link.worker.kill()
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)


def _replaced() -> Replaced:
    return Replaced("another version replaced this one, which has no worker", fix="send the request again")


def _most_rows(batching: Batching, limits: EngineLimits) -> int | None:
    if batching == "single":
        return 1
    return limits.call_rows if batching == "joined" else None


async def _ending(worker: Worker) -> str:
    try:
        return await asyncio.wait_for(worker.wait(), ENDING_WAIT_S)
    except TimeoutError:
        return "its connection broke, and it has not been seen to end; the model's log says more"


def _deliver_to(future: "asyncio.Future[Outcome]") -> Callable[[Outcome], None]:
    def deliver(outcome: Outcome) -> None:
        if not future.done():
            future.set_result(outcome)

    return deliver
