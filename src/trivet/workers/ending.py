"""How a worker is ended: asked for, then forced."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

__all__ = ["Ending", "kill_group"]

HARD_KILL_S = 8.0


class Ending:
    """Ends a guardian with all that it started: SIGTERM, and SIGKILL to its group if that does not help in time.

    Args:
        guardian: leads a session and a group of its own.
        send: sends it a signal, and does nothing if it has ended.
        runs: whether it runs.
        end: done when nothing of the worker is left. Belongs to the running event loop.

    Attributes:
        by_us: whether it was asked to end while it ran.
    """

    def __init__(
        self,
        guardian: int,
        *,
        send: Callable[[signal.Signals], None],
        runs: Callable[[], bool],
        end: asyncio.Future[None],
    ) -> None:
        self.by_us = False
        self._guardian = guardian
        self._send = send
        self._runs = runs
        self._end = end
        self._hard_kill: asyncio.TimerHandle | None = None

    def kill(self) -> None:
        """See `RunningWorker.kill`."""
        if self._end.done():
            return
        self._ask(signal.SIGTERM)
        if self._hard_kill is None:
            self._hard_kill = asyncio.get_running_loop().call_later(HARD_KILL_S, kill_group, self._guardian)
            self._end.add_done_callback(self._cancel)

    async def stop(self, grace_s: float) -> None:
        """See `RunningWorker.stop`."""
        if grace_s > 0 and not self._end.done():
            self._ask(signal.SIGUSR1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._end), grace_s)
        self.kill()
        await asyncio.shield(self._end)

    def _ask(self, number: signal.Signals) -> None:
        self.by_us = self.by_us or self._runs()
        self._send(number)

    def _cancel(self, _: object) -> None:
        assert self._hard_kill is not None
        self._hard_kill.cancel()


def kill_group(guardian: int) -> None:
    """Kill whatever is left of a guardian's group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(guardian, signal.SIGKILL)
