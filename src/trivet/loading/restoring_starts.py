"""Starts of workers whose files may have been removed since the first one started."""

from trivet.loading.steps import Work
from trivet.loading.threads import in_thread
from trivet.workers.launcher import Launcher, RunningWorker
from trivet.workers.spec import WorkerSpec

__all__ = ["RestoringStarts"]


class RestoringStarts:
    """Starts workers of one step; restores its package and environment first if they are gone. See `Starts`.

    Args:
        launcher: starts them.
        work: finds or restores the files.
    """

    def __init__(self, launcher: Launcher, work: Work) -> None:
        self._launcher = launcher
        self._work = work

    async def start(self, spec: WorkerSpec) -> RunningWorker:
        """See `Launcher.start`. Raises also what the restoring raises."""
        async with in_thread(self._work()):
            return await self._launcher.start(spec)
