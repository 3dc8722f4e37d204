"""Prepares steps (unpacks files, finds environments) in threads, a few at once, with retries."""

import asyncio
import logging
from collections.abc import Callable, Collection
from pathlib import Path

from trivet.domain.fault import Fault
from trivet.domain.pauses import doubling_s
from trivet.domain.routes import NativeStep, StepKey
from trivet.errors import Internal, TrivetError
from trivet.loading.steps import PreparedStep, Work
from trivet.supervisor.states import NotPrepared, StepState

__all__ = ["Preparations"]

log = logging.getLogger(__name__)

AT_ONCE = 2
FIRST_RETRY_S = 2.0
MOST_RETRY_S = 300.0


class Preparations:
    """Prepared steps, and those that failed. Call it in the event loop's thread.

    Args:
        prepare: prepares one. Called in threads; raises TrivetError.
        on_change: called whenever `states` has changed.
        retry_s: the first pause before a retry of a failed step; each further one is twice as long.
    """

    def __init__(
        self,
        prepare: Callable[[StepKey], PreparedStep],
        *,
        on_change: Callable[[], None],
        retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self._prepare = prepare
        self._on_change = on_change
        self._retry_s = retry_s
        self._made: dict[StepKey, PreparedStep | NotPrepared] = {}
        self._tasks: dict[StepKey, asyncio.Task[None]] = {}
        self._generations: dict[StepKey, int] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    @property
    def states(self) -> dict[StepKey, StepState]:
        """The states of all steps that were tried."""
        return {key: made if isinstance(made, NotPrepared) else made[0] for key, made in self._made.items()}

    def work(self, key: StepKey) -> Work | None:
        """The specification of a step's workers, if it is prepared and runs in workers."""
        made = self._made.get(key)
        return None if made is None or isinstance(made, NotPrepared) else made[1]

    def require(self, key: StepKey, generation: int) -> None:
        """Prepare a step; one that failed for an earlier generation is retried at once."""
        if self._generations.get(key) == generation:
            return
        self._generations[key] = generation
        task = self._tasks.get(key)
        if task is not None and isinstance(self._made.get(key), NotPrepared):
            task.cancel()
            task = None
        if task is None or task.done():
            task = asyncio.create_task(self._retry(key), name=f"prepare {key[0]}")
            self._tasks[key] = task
            task.add_done_callback(lambda ended: self._ended(key, ended))

    def leave_gateway(self, versions: Collection[str]) -> None:
        """Drop native steps of versions that are to run in workers from now on, so that they are prepared again."""
        for key, state in self.states.items():
            if key[0] in versions and isinstance(state, NativeStep):
                self._made.pop(key, None)
                self._generations.pop(key, None)

    async def recheck(self) -> None:
        """Drop native steps whose files are gone, so that they are prepared again."""
        steps = self.states.items()
        files = {key: Path(step.path) for key, step in steps if isinstance(step, NativeStep)}
        gone = await asyncio.to_thread(lambda: [key for key, file in files.items() if not file.exists()])
        for key in gone:
            log.warning("%s is gone; unpacking the package again", files[key])
            self._made.pop(key, None)
            self._generations.pop(key, None)
        if gone:
            self._on_change()

    async def close(self) -> None:
        """Stop retrying. Results of running threads are ignored."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _retry(self, key: StepKey) -> None:
        failures = 0
        while True:
            async with self._places:
                generation = self._generations[key]
                made = await self._try(key, generation)
            if made != self._made.get(key):
                self._made[key] = made
                self._on_change()
            if not isinstance(made, NotPrepared):
                return
            await asyncio.sleep(doubling_s(failures, first_s=self._retry_s, most_s=MOST_RETRY_S))
            failures += 1

    async def _try(self, key: StepKey, generation: int) -> PreparedStep | NotPrepared:
        try:
            return await asyncio.to_thread(self._prepare, key)
        except TrivetError as error:
            return NotPrepared(Fault.of(error), generation)
        except Exception as error:
            log.exception("failed to prepare version %s", key[0])
            fault = Internal("failed to prepare the version", why=f"{type(error).__name__}: {error}")
            return NotPrepared(Fault.of(fault), generation)

    def _ended(self, key: StepKey, ended: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is ended:
            del self._tasks[key]
