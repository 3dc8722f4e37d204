"""A model that is being served: what the gateway asks of it, and whether it answers."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Protocol, Self, runtime_checkable

import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.engine.calls import Raw, RawAnswer
from trivet.engine.canned import canned_batch
from trivet.errors import Invalid, ModelFailed, Overloaded, TrivetError, Unavailable

__all__ = ["Probe", "RawRunner", "Runner", "StepRunner", "is_refusal", "predict"]

FRESH_S = 5.0
SLOWEST_S = 5.0


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
            Unavailable: the worker ended while it held the request.
            DeadlineExceeded: it took longer than the limit.
        """


@runtime_checkable
class StepRunner(Runner, Protocol):
    """Answers batches of one model version, not of several in a row.

    Attributes:
        joins: whether requests share calls.
    """

    joins: bool


@runtime_checkable
class RawRunner(Protocol):
    """Answers raw calls of one model version: a pool of workers."""

    async def answer(self, raw: Raw) -> RawAnswer:
        """The model's own answer. Its body may still be on its way: iterating it raises what follows, too.

        Raises:
            Unsupported: the model takes rows only.
            TooLarge: the body has more bytes than the limit.
            TrivetError: as `Runner.predict` says. `ModelFailed` also where the answer is larger than the limit.
        """


async def predict(runner: Runner, batch: Batch) -> Batch:
    """Have a runner answer a batch, at once or later. Raises as `Runner.predict` does."""
    answer = runner.predict(batch)
    return answer if isinstance(answer, Batch) else await answer


class Probe:
    """Readiness: a canned row goes through the same path as any request.

    Args:
        runner: what answers.
        canned: the row; zeros made from the schema, or an example that the author gave.
        synthetic: whether the row was made up. A model that refuses a made-up row is reached, and therefore ready; one that
            refuses its author's own example is not.
        spare: another made-up row, for `warm_up`.
        must_answer: whether a made-up row has to be answered, too, when the model is loaded.
        slowest_s: how long the row may take before the model counts as not ready.

    Attributes:
        runner: what answers.
        canned: the row that is sent.
        shown: its name in messages.
        refused: why `warm_up` got no answer; None if it got one.
    """

    def __init__(
        self,
        runner: Runner,
        canned: Batch,
        *,
        synthetic: bool,
        spare: Batch | None = None,
        must_answer: bool = False,
        slowest_s: float = SLOWEST_S,
    ) -> None:
        self.runner = runner
        self.synthetic = synthetic
        self.canned = canned
        self.shown = "a row of zeros" if synthetic else "the example row"
        self.refused: TrivetError | None = None
        self._spare = spare
        self._must_answer = must_answer
        self._answered_at = float("-inf")
        self._slowest_s = slowest_s
        self._usual_s = 0.0

    @classmethod
    def made_up(cls, runner: Runner, *, must_answer: bool) -> Self:
        """A probe of a runner without example rows: it sends zeros, and ones if zeros are refused."""
        zeros, ones = (canned_batch(runner.input_schema, ones=each) for each in (False, True))
        return cls(runner, zeros, synthetic=True, spare=ones, must_answer=must_answer)

    def through(self, runner: Runner) -> "Probe":
        """A probe with the same row for a pipeline that begins with this probe's model."""
        return Probe(runner, self.canned, synthetic=self.synthetic, spare=self._spare)

    async def check(self) -> TrivetError | None:
        """Send the canned row, unless it was answered a moment ago.

        Returns:
            Why the model is not ready, or None.
        """
        if self.runner.capacity == 0:
            self._answered_at = float("-inf")
            return Unavailable("no worker is ready", fix="wait for it to start; the log says more if it does not")
        if time.monotonic() - self._answered_at < FRESH_S:
            return None
        # A model that hangs is found out long before its deadline; one that is slow by nature is given its usual time.
        limit_s = max(self._slowest_s, 4 * self._usual_s)
        try:
            refusal = await asyncio.wait_for(self.refusal(), limit_s)
        except TimeoutError:
            return Unavailable(f"{self.shown} was not answered within {limit_s:.3g} s", reason="slow_probe")
        if isinstance(refusal, Overloaded):
            # Busy is not broken: requests are being answered, as many as it takes.
            return None
        if refusal is not None and not (self.synthetic and is_refusal(refusal)):
            return refusal
        self._answered_at = time.monotonic()
        return None

    async def warm_up(self) -> TrivetError | None:
        """Send the canned row for the first time, as `refusal` does.

        Zeros and empty strings make NaN or nothing of what other rows make a number of: a model that refuses them, or answers
        them with something else than it declares, is sent the spare row, once; and from then on, unless it refuses both.
        """
        started = time.monotonic()
        refusal = await self.refusal()
        self._usual_s = time.monotonic() - started
        is_mismatch = refusal is not None and refusal.reason == "model_output_mismatch"
        if self._spare is not None and refusal is not None and (is_mismatch or is_refusal(refusal)):
            zeros, self.canned, self.shown = (self.canned, self.shown), self._spare, "a row of ones"
            second = await self.refusal()
            if second is None or is_mismatch:
                refusal = second
            else:
                self.canned, self.shown = zeros
        self.refused = refusal
        return refusal

    def failure(self, refusal: TrivetError | None, *, log: str) -> TrivetError | None:
        """Why a model that answered its warm-up with this refusal cannot be served; None if it can.

        A model may refuse a made-up row, unless `must_answer`.

        Args:
            refusal: from `warm_up`.
            log: where the model's own log is.
        """
        if refusal is None or not is_refusal(refusal):
            return refusal
        if not self.synthetic:
            what, fix = "the model refuses its own example row", "fix the model, its input schema or the example"
        elif self._must_answer:
            what, fix = "the model refuses the row that it answered when it was uploaded", "fix what it needs to answer"
        else:
            return None
        error = ModelFailed(
            what,
            why=refusal.message,
            fix=f"{fix}; {log} has the traceback",
            path=refusal.path,
            reason="canned_row_failed",
        )
        error.trace = refusal.trace
        return error

    def made_up_refusal(self, *, row: str) -> ModelFailed | None:
        """Why the model did not answer its made-up row, with how to give one that it answers; None if it answered.

        Args:
            row: as JSON, or a description.
        """
        if self.refused is None:
            return None
        error = ModelFailed(
            f"the model raised on {self.shown}, which was made up from its schema",
            why=self.refused.message,
            fix=f"fix the model, or give it an example row in trivet.yaml, such as `example: [{row}]` with values that it answers",
            path=self.refused.path,
            reason="made_up_row_failed",
        )
        error.trace = self.refused.trace
        return error

    async def refusal(self) -> TrivetError | None:
        """Send the canned row now, and give the error that came of it."""
        try:
            await predict(self.runner, self.canned)
        except TrivetError as error:
            return error
        return None


def is_refusal(error: TrivetError) -> bool:
    """Whether the model's own code refused the values, as opposed to answering wrongly or not at all."""
    return isinstance(error, Invalid) or (isinstance(error, ModelFailed) and error.reason == "model_error")
