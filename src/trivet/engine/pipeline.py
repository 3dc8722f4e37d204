"""A pipeline that is being served: its steps, and what answers for all of them together."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.engine.checks.timed import TimedChecks
from trivet.engine.handover import Handover, of_step
from trivet.engine.served import Probe, RawRunner, Runner, predict
from trivet.errors import TrivetError, Unsupported

__all__ = ["PipelineRunner", "ServedPipeline", "ServedStep"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedStep:
    """One model version of a pipeline, with what answers for it.

    Attributes:
        name: the model's name.
        version: its UUID.
        version_id: its number among all versions; 0 where there is no catalog.
        sha: sha256 of the package's bytes.
        framework: what wrote it.
        runtime: "native" in this process, "isolated" in workers.
        runner: answers its batches.
    """

    name: str
    version: str
    version_id: int
    sha: str
    framework: str
    runtime: str
    runner: Runner


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedPipeline:
    """One pipeline version with what answers for it.

    Attributes:
        name: the pipeline's name.
        version: its UUID.
        deployment_id: None where a single model is served without a platform.
        steps: at least one; the last one's outputs are the answer.
        runner: answers batches with all steps.
        probe: checks whether it does.
        checks: validations of the answers.
    """

    name: str
    version: str
    deployment_id: int | None
    workspace_id: int
    steps: tuple[ServedStep, ...]
    runner: Runner
    probe: Probe
    checks: TimedChecks | None

    def raw_runner(self) -> RawRunner:
        """What answers raw calls: the runner of the only step.

        Raises:
            Unsupported: there are more steps, or the step takes rows only.
        """
        if len(self.steps) > 1:
            why = f"its {len(self.steps)} steps hand rows to each other"
        elif self.checks is not None:
            why = "its validations check rows"
        elif not isinstance(self.runner, RawRunner):
            why = "its model runs in the gateway's own process, where models take rows only"
        else:
            return self.runner
        raise Unsupported(
            f"pipeline {self.name!r} does not answer raw requests",
            why=why,
            fix="send rows to the pipeline's address, as JSON or Arrow",
            reason="rows_only",
        )


class PipelineRunner:
    """Answers batches with one step after the other. A step gets the columns that it takes, by name; the others end there.

    Args:
        steps: two or more.

    Raises:
        Conflict: a step takes something that the one before does not answer.
    """

    def __init__(self, steps: Sequence[ServedStep]) -> None:
        self._first = steps[0].runner
        self._name = steps[0].name
        self._later = [
            (
                after.runner,
                Handover((before.name, before.runner.output_schema), (after.name, after.runner.input_schema)),
            )
            for before, after in pairwise(steps)
        ]
        self._runners = [step.runner for step in steps]

    @property
    def input_schema(self) -> pa.Schema:
        """What the first step takes."""
        return self._runners[0].input_schema

    @property
    def output_schema(self) -> pa.Schema:
        """What the last step answers."""
        return self._runners[-1].output_schema

    @property
    def capacity(self) -> int:
        """How many calls the narrowest step could answer at this moment."""
        return min(runner.capacity for runner in self._runners)

    def predict(self, batch: Batch) -> Batch | Awaitable[Batch]:
        """See `Runner.predict`. Steps that answer at once are not waited for. An error says which of the steps it is about."""
        name = self._name
        try:
            answer = self._first.predict(batch)
            for done, (runner, handover) in enumerate(self._later):
                if not isinstance(answer, Batch):
                    return self._go_on(answer, done, name)
                given, name = handover(answer), handover.after
                answer = runner.predict(given)
        except TrivetError as error:
            raise of_step(error, name) from error
        return answer if isinstance(answer, Batch) else self._go_on(answer, len(self._later), name)

    async def _go_on(self, waiting: Awaitable[Batch], done: int, name: str) -> Batch:
        try:
            answer = await waiting
            for runner, handover in self._later[done:]:
                given, name = handover(answer), handover.after
                answer = await predict(runner, given)
        except TrivetError as error:
            raise of_step(error, name) from error
        return answer
