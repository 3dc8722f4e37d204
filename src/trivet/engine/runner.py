"""What the gateway asks of a model, wherever it runs."""

from collections.abc import Awaitable
from typing import Protocol

import pyarrow as pa

from trivet.engine.batch import Batch

__all__ = ["Runner", "predict"]


class Runner(Protocol):
    """Answers batches of one model version: a native session here, or a pool of workers."""

    @property
    def input_schema(self) -> pa.Schema:
        """What a batch must look like."""

    @property
    def output_schema(self) -> pa.Schema:
        """What an answer looks like."""

    @property
    def capacity(self) -> int:
        """How many calls could be answered at this moment; 0 while nothing can."""

    def predict(self, batch: Batch) -> Batch | Awaitable[Batch]:
        """One row of output for each row of input, in order: at once, where it takes microseconds, or to be awaited.

        Raises:
            ModelFailed: the model's code raised, or its answer does not fit its output schema.
            Invalid: the model found the input wrong.
            Overloaded: too many requests wait already.
            Unavailable: the worker died with the request in its hands.
            DeadlineExceeded: it took longer than the limit.
        """


async def predict(runner: Runner, batch: Batch) -> Batch:
    """Have a runner answer a batch, at once or later. Raises as `Runner.predict` does."""
    answer = runner.predict(batch)
    return answer if isinstance(answer, Batch) else await answer
