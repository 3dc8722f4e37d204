"""Runs a native session: on the event loop if a call is cheaper than a thread switch, else in a thread."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import onnxruntime as ort
import pyarrow as pa

from trivet.engine.batch import Batch, concat
from trivet.engine.joining import gather
from trivet.engine.limits import EngineLimits
from trivet.engine.native.cost import Cost
from trivet.engine.native.memory import too_large_answer
from trivet.engine.native.views import Session
from trivet.errors import DeadlineExceeded, Overloaded, TooLarge

__all__ = ["NativeRunner"]

# Requests with more rows gain nothing from a shared call, which itself has these limits of rows and bytes.
SMALL_ROWS = 16
JOIN_ROWS = 256
JOIN_BYTES = 2**20


class _Joining:
    """Small requests that arrive in one turn of the event loop share a call.

    A call of ONNX Runtime takes the same time for one row as for fifty, and far longer right after a system call than after
    another call. A single request in a turn is answered at once. After a turn with two, requests are collected until their
    turn ends, up to the next turn with a single one.
    """

    def __init__(self, run: Callable[[Batch], Batch], *, most_rows: int) -> None:
        self._run = run
        self._most_rows = most_rows
        self._gathers = False
        self._calls = 0
        self._jobs: list[_Job] = []

    def predict(self, batch: Batch) -> Batch | Awaitable[Batch]:
        loop = asyncio.get_running_loop()
        if not self._gathers:
            if self._calls == 0:
                loop.call_soon(self._end_turn)
            self._calls += 1
            return self._run(batch)
        if not self._jobs:
            loop.call_soon(self._flush)
        job = _Job(batch, loop.create_future())
        self._jobs.append(job)
        return job.future

    def _end_turn(self) -> None:
        self._gathers = self._calls > 1
        self._calls = 0

    def _flush(self) -> None:
        jobs, self._jobs = self._jobs, []
        self._gathers = len(jobs) > 1
        waiting = iter(jobs)
        first = next(waiting, None)
        while first is not None:
            together, first = gather(
                first, lambda _: next(waiting, None), max_rows=self._most_rows, max_bytes=JOIN_BYTES
            )
            self._answer(together)
            first = first or next(waiting, None)

    def _answer(self, jobs: list["_Job"]) -> None:
        try:
            answer = self._run(concat([job.batch for job in jobs]))
        except Exception as error:  # noqa: BLE001 - the waiting requests need an answer
            if len(jobs) == 1:
                jobs[0].fail(error)
                return
            # One bad request must not fail its neighbours: run each alone.
            for job in jobs:
                self._answer([job])
            return
        start = 0
        for job in jobs:
            job.succeed(answer.slice(start, job.rows))
            start += job.rows


class _Job:
    """A request that waits for the end of its turn."""

    __slots__ = ("batch", "future", "nbytes", "rows")
    joins = True
    form = None

    def __init__(self, batch: Batch, future: "asyncio.Future[Batch]") -> None:
        self.batch = batch
        self.future = future
        self.rows = batch.rows
        self.nbytes = batch.nbytes

    def succeed(self, answer: Batch) -> None:
        if not self.future.done():
            self.future.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class NativeRunner:
    """Answers batches with a native session.

    Args:
        session: loaded and tried.
        cost: from `measure`; None if it could not be measured, and every call runs in a thread.
        limits: deadlines, back-pressure, and the limit for inline calls.
    """

    capacity = 1

    def __init__(self, session: Session, *, cost: Cost | None, limits: EngineLimits) -> None:
        self._session = session
        self._limits = limits
        self._joins = False
        # How long a row takes is known only where all rows have one size.
        timed = cost if session.rectangular else None
        self._inline_rows = 0 if timed is None else timed.rows_within(limits.inline_s)
        self._joined_rows = 0
        self._joining = _Joining(session.run, most_rows=min(JOIN_ROWS, self._inline_rows))
        self._running = 0
        self._threads = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="native")

    @property
    def session(self) -> Session:
        """The session."""
        return self._session

    @property
    def joins(self) -> bool:
        """Whether small requests of one turn share a call: only where rows do not change each other's answers."""
        return self._joins

    @joins.setter
    def joins(self, joins: bool) -> None:
        self._joins = joins
        self._joined_rows = min(SMALL_ROWS, self._inline_rows) if joins and self._session.joins else 0

    @property
    def input_schema(self) -> pa.Schema:
        """The schema of a batch."""
        return self._session.input_schema

    @property
    def output_schema(self) -> pa.Schema:
        """The schema of an answer."""
        return self._session.output_schema

    @property
    def inline(self) -> bool:
        """Whether a single row runs on the event loop."""
        return self._inline_rows >= 1

    def predict(self, batch: Batch) -> Batch | Awaitable[Batch]:
        """Run the session on a batch, here or in a thread.

        Raises:
            ModelFailed: ONNX Runtime refused the values.
            Overloaded: too many calls wait for a thread.
            DeadlineExceeded: the call was stopped at its deadline.
            TooLarge: a call may take too much memory, and its rows are not proved to be independent.
        """
        if batch.rows <= self._joined_rows:
            return self._joining.predict(batch)
        if batch.rows <= self._inline_rows:
            return self._session.run(batch)
        if self._running >= self._limits.max_waiting:
            raise Overloaded(
                "too many requests wait for this model",
                why=f"the limit is {self._limits.max_waiting}",
                fix="send fewer at once",
            )
        return self._in_thread(batch)

    async def _in_thread(self, batch: Batch) -> Batch:
        stop = ort.RunOptions()
        self._running += 1
        call = asyncio.get_running_loop().run_in_executor(self._threads, self._run, batch, stop)
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await asyncio.shield(call)
        except TimeoutError:
            raise DeadlineExceeded(
                f"no answer within {self._limits.timeout_s:g} s",
                why="the session was still running, or waiting for a free core",
                fix="send fewer rows, or raise --timeout",
            ) from None
        finally:
            # ONNX Runtime checks the flag between two operators; a call that has not started does not start.
            stop.terminate = True
            call.cancel()
            self._running -= 1

    def _run(self, batch: Batch, stop: ort.RunOptions) -> Batch:
        """Run the session, in several calls if one may take too much memory and rows do not change each other's answers."""
        waiting, answers, held = [batch], list[Batch](), 0
        while waiting:
            part = waiting.pop()
            try:
                answer = self._session.run(part, stop)
            except TooLarge:
                if not self._joins or part.rows < 2:
                    raise
                half = part.rows // 2
                waiting += [part.slice(half, part.rows - half), part.slice(0, half)]
                continue
            answers.append(answer)
            held += answer.nbytes
            if waiting and held > self._limits.native_call_bytes:
                raise too_large_answer(self._limits.native_call_bytes)
        return concat(answers)

    def close(self) -> None:
        """Accept no more calls. Running ones finish."""
        self._threads.shutdown(wait=False, cancel_futures=True)
