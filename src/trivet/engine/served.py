"""A model that is being served: what the gateway asks of it, who it is, and whether it answers."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.engine.calls import Raw, RawAnswer
from trivet.errors import Invalid, ModelFailed, Overloaded, TrivetError, Unavailable

__all__ = ["Probe", "RawRunner", "Runner", "ServedModel", "is_refusal", "predict"]

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
            Unavailable: the worker died while it had the request.
            DeadlineExceeded: it took longer than the limit.
        """


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
        slowest_s: how long the row may take before the model counts as not ready.

    Attributes:
        canned: the row that is sent.
        shown: what it is called.
        was_answered: whether `warm_up` got an answer.
    """

    def __init__(
        self,
        runner: Runner,
        canned: Batch,
        *,
        synthetic: bool,
        spare: Batch | None = None,
        slowest_s: float = SLOWEST_S,
    ) -> None:
        self.synthetic = synthetic
        self.canned = canned
        self.shown = "a row of zeros" if synthetic else "the example row"
        self.was_answered = False
        self._runner = runner
        self._spare = spare
        self._answered_at = float("-inf")
        self._slowest_s = slowest_s
        self._usual_s = 0.0

    async def check(self) -> TrivetError | None:
        """Send the canned row, unless it was answered a moment ago.

        Returns:
            Why the model is not ready, or None.
        """
        if self._runner.capacity == 0:
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
        self.was_answered = refusal is None
        return refusal

    async def refusal(self) -> TrivetError | None:
        """Send the canned row now, and give the error that came of it."""
        try:
            await predict(self._runner, self.canned)
        except TrivetError as error:
            return error
        return None


def is_refusal(error: TrivetError) -> bool:
    """Whether the model's own code refused the values, as opposed to answering wrongly or not at all."""
    return isinstance(error, Invalid) or (isinstance(error, ModelFailed) and error.reason == "model_error")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """One model version with what answers for it.

    Attributes:
        name: the model's name.
        version: its UUID.
        sha: sha256 of the package's bytes.
        framework: what wrote it.
        runtime: "native" in this process, "isolated" in workers.
        runner: answers its batches.
        probe: tells whether it does.
    """

    name: str
    version: str
    sha: str
    framework: str
    runtime: str
    runner: Runner
    probe: Probe
