"""Runs the validations of a pipeline within the deadline of each request.

polars cannot be interrupted. So what a piece of work will take is estimated before it begins, and larger work runs in a thread, in
slices of rows: a thread whose request was given up ends after the slice that it is in.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.engine.checks.checks import Anomalies, Checks
from trivet.errors import DeadlineExceeded, Overloaded, TooLarge

__all__ = ["TimedChecks"]

SLICE_BYTES: Final = 32 * 2**20
THREADS: Final = 2
"""Of one pipeline: the others go on meanwhile."""


class TimedChecks:
    """A pipeline's validations with a time limit. Belongs to the event loop's thread.

    Args:
        checks: the validations.
        timeout_s: from the arrival of a request to the end of its validations.
        inline_s: what is expected to take longer runs in a thread …
        slice_s: … in slices that are expected to take at most this long …
        row_s: … or one row, which may take this long.
        max_waiting: requests whose validations may wait or run at once; one more is refused.
    """

    def __init__(
        self,
        checks: Checks,
        *,
        timeout_s: float,
        inline_s: float = 0.001,
        slice_s: float = 0.25,
        row_s: float = 5.0,
        max_waiting: int = 256,
    ) -> None:
        self._checks = checks
        self._timeout_s = timeout_s
        self._inline_ns = inline_s * 1e9
        self._slice_ns = slice_s * 1e9
        self._row_s = row_s
        self._max_waiting = max_waiting
        self._waiting = 0
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="checks")

    @property
    def names(self) -> Sequence[str]:
        """The validations' names, sorted."""
        return self._checks.names

    def evaluate(
        self, inputs: Mapping[str, pa.Array | pa.ChunkedArray], outputs: Batch, *, started_ns: int
    ) -> Anomalies | Awaitable[Anomalies]:
        """Evaluate the validations of each row: at once if that is short, otherwise in a thread.

        Args:
            inputs: the request's columns by name; a missing one is null in every row.
            outputs: the pipeline's answer.
            started_ns: when the request came, as `time.perf_counter_ns` counts.

        Raises:
            ModelFailed: polars cannot evaluate a validation on these values.
            TooLarge: the validations of a single row would take too long.
            Overloaded: too many requests wait for their validations.
            DeadlineExceeded: there was not enough time. Awaiting raises it as well.
        """
        rows = outputs.rows
        nbytes = outputs.nbytes + sum(array.nbytes for array in inputs.values())
        expected_ns = self._checks.expected_ns(rows, nbytes)
        if expected_ns < self._inline_ns or not rows:
            return self._checks.evaluate(inputs, outputs)
        if self._waiting >= self._max_waiting:
            raise Overloaded(
                f"{self._waiting} requests wait for their validations already",
                why="the validations take longer than the model",
                fix="send fewer requests at once, or simplify the validations",
            )
        return self._in_thread(inputs, outputs, started_ns * 1e-9 + self._timeout_s)

    def close(self) -> None:
        """Give up what waits. Threads end after the slice that they are in."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(
        self, inputs: Mapping[str, pa.Array | pa.ChunkedArray], outputs: Batch, deadline: float
    ) -> Anomalies:
        left = threading.Event()
        self._waiting += 1
        try:
            waiting = asyncio.get_running_loop().run_in_executor(
                self._threads, self._sliced, inputs, outputs, deadline, left
            )
            async with asyncio.timeout(max(0.0, deadline - time.perf_counter())):
                return await waiting
        except TimeoutError:
            raise self._too_late() from None
        finally:
            left.set()
            self._waiting -= 1

    def _sliced(
        self,
        inputs: Mapping[str, pa.Array | pa.ChunkedArray],
        outputs: Batch,
        deadline: float,
        left: threading.Event,
    ) -> Anomalies:
        """In a thread: evaluate the rows slice by slice, as long as the request waits."""
        found: list[Anomalies] = []
        ranges = [(0, outputs.rows)]
        while ranges:
            if left.is_set() or time.perf_counter() > deadline:
                raise self._too_late()
            start, rows = ranges.pop()
            part = outputs.slice(start, rows)
            given = {name: array.slice(start, rows) for name, array in inputs.items()}
            if self._is_short(given, part):
                found.append(self._checks.evaluate(given, part))
            else:
                # Rows differ in size, so the halves are looked at again.
                ranges += [(start + rows // 2, rows - rows // 2), (start, rows // 2)]
        return _joined(found)

    def _is_short(self, inputs: Mapping[str, pa.Array | pa.ChunkedArray], outputs: Batch) -> bool:
        """Whether rows are few enough for one slice. A single row is, up to a limit."""
        rows = outputs.rows
        nbytes = outputs.nbytes + sum(array.nbytes for array in inputs.values())
        expected_ns = self._checks.expected_ns(rows, nbytes)
        if rows > 1:
            return expected_ns < self._slice_ns and self._checks.text_bytes(rows, nbytes) < SLICE_BYTES
        if expected_ns > self._row_s * 1e9:
            raise TooLarge(
                "a row is too large for the pipeline's validations",
                why=f"it holds {nbytes} bytes, and the validations could take more than {self._row_s:g} s for it",
                fix="send a smaller row, or simplify the patterns of the validations",
            )
        return True

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"no answer within {self._timeout_s:g} s",
            why="the validations were not yet evaluated",
            fix="send fewer rows, simplify the validations, or raise --timeout",
        )


def _joined(found: list[Anomalies]) -> Anomalies:
    if len(found) == 1:
        return found[0]
    columns = {name: np.concatenate([each.columns[name] for each in found]) for name in found[0].columns}
    return Anomalies(np.concatenate([each.count for each in found]), columns)
