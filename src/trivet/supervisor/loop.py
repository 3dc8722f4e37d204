"""The supervisor's loop: what is wanted, what is, what to do about it, again and again.

Each source of news has a task of its own (the catalog, the gateway, workers, uploads), so that none waits for another: a
database that hangs keeps no worker from being replaced.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from trivet.domain.deployment import DeploymentState, DeploymentStatus
from trivet.errors import TrivetError
from trivet.supervisor.catalog_reader import CatalogReader, Reading
from trivet.supervisor.catalog_writer import CatalogWriter
from trivet.supervisor.desired import DesiredPipeline, DesiredState, Memory
from trivet.supervisor.fleets import Fleets
from trivet.supervisor.gateway_client import GatewayChannel
from trivet.supervisor.plan import plan
from trivet.supervisor.prepared_steps import Preparations
from trivet.supervisor.remembering import MemoryFile
from trivet.supervisor.states import Observed

__all__ = ["Changes", "Loads", "Supervisor"]

log = logging.getLogger(__name__)

POLL_S = 1.0
FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 5.0


class Loads(Protocol):
    """What loads uploads: see `LoadQueue`."""

    async def run_once(self) -> None:
        """Begin with what is to be loaded."""

    async def close(self) -> None:
        """End what is being loaded; it begins again with the next supervisor."""


class Changes:
    """What somebody has to look at again. Handed to everything that notices news, before there is a supervisor."""

    def __init__(self) -> None:
        self.world = asyncio.Event()
        self.catalog = asyncio.Event()
        self.uploads = asyncio.Event()

    def seen(self) -> None:
        """Fleets, steps or the gateway are not as they were."""
        self.world.set()

    def look(self) -> None:
        """The catalog may have changed."""
        self.catalog.set()
        self.uploads.set()


class Supervisor:
    """Makes what is wanted so. Belongs to the event loop's thread.

    Args:
        changes: set by all of the others.
        wishes: reads what is wanted.
        teller: writes what is seen.
        gateway: what answers predictions.
        fleets: workers.
        preparations: of steps.
        loads: of uploads.
        memory: what an earlier supervisor knew.
        poll_s: how often the catalog is asked whether it has changed, should nobody say so.
    """

    def __init__(
        self,
        *,
        changes: Changes,
        wishes: CatalogReader,
        teller: CatalogWriter,
        gateway: GatewayChannel,
        fleets: Fleets,
        preparations: Preparations,
        loads: Loads,
        memory: MemoryFile,
        poll_s: float = POLL_S,
    ) -> None:
        self._changes = changes
        self._wishes = wishes
        self._teller = teller
        self._gateway = gateway
        self._fleets = fleets
        self._preparations = preparations
        self._loads = loads
        self._file = memory
        self._memory = Memory()
        self._wanted: DesiredState | None = None
        self._lost: dict[int, DesiredPipeline] | None = None
        self._poll_s = poll_s

    async def run(self) -> None:
        """Work until cancelled. What it has started is left as it is: see `close`."""
        self._memory = await asyncio.to_thread(self._file.read)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._gateway.run(), name="gateway")
            tasks.create_task(self._teller.run(), name="telling")
            tasks.create_task(self._read(), name="catalog")
            tasks.create_task(self._load(), name="uploads")
            tasks.create_task(self._reconcile(), name="reconcile")

    async def close(self, *, leave_workers: bool) -> None:
        """End trials and preparations, and the workers too unless another supervisor shall have them."""
        await asyncio.gather(self._loads.close(), self._preparations.close())
        await self._fleets.close(leave=leave_workers)

    async def _reconcile(self) -> None:
        connected = False
        while True:
            await self._changes.world.wait()
            self._changes.world.clear()
            if connected and self._gateway.report is None:
                # The next gateway loads everything from its files.
                await self._preparations.recheck()
            connected = self._gateway.report is not None
            # Until the catalog has said what is wanted, everything stays as it is.
            if self._wanted is not None:
                await self._turn(self._wanted)

    async def _turn(self, wanted: DesiredState) -> None:
        observed = Observed(
            fleets=self._fleets.states,
            ending=self._fleets.ending,
            prepared=self._preparations.states,
            report=self._gateway.report,
            table=self._gateway.table,
            memory=self._memory,
        )
        made = plan(self._with_lost(wanted), observed)
        if made.memory != self._memory:
            # Written before anything is done: whoever comes after a crash knows every route that may be in use.
            await asyncio.to_thread(self._file.write, made.memory)
            self._memory = made.memory
        for key, generation in made.prepare.items():
            self._preparations.want(key, generation)
        for wish in made.start:
            work = self._preparations.work(wish.step)
            if work is not None:
                self._fleets.start(wish, work)
        for fleet, count in made.resize.items():
            self._fleets.resize(fleet, count)
        for fleet in made.stop:
            self._fleets.stop(fleet)
        if made.table is not None:
            self._gateway.offer(made.table)
        self._teller.say(made.statuses)
        self._forget_found(made.statuses)

    def _with_lost(self, wanted: DesiredState) -> DesiredState:
        """What is wanted; where nobody remembers the route that answered last, and the wish is another, that one first."""
        if not self._lost:
            return wanted
        return DesiredState(
            running=tuple(self._lost.get(wish.deployment_id, wish) for wish in wanted.running), stopped=wanted.stopped
        )

    def _forget_found(self, statuses: Mapping[int, DeploymentStatus]) -> None:
        for deployment_id in list(self._lost or ()):
            status = statuses.get(deployment_id)
            if status is not None and status.state is not DeploymentState.STARTING:
                assert self._lost is not None
                del self._lost[deployment_id]
                self._changes.seen()

    async def _read(self) -> None:
        """Keep at what the catalog says. While it cannot be reached, what it said last holds."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                reading = await asyncio.to_thread(self._wishes.read)
            except TrivetError as error:
                log.warning("the catalog cannot be read: %s", error.message)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, MOST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            if reading is not None:
                # Whoever deploys again what had lost its files gets them back.
                await self._preparations.recheck()
                self._take(reading)
            await _set_or_after(self._changes.catalog, self._poll_s)

    def _take(self, reading: Reading) -> None:
        self._teller.known(reading.statuses, reading.workspaces)
        if self._lost is None:
            known = self._memory.serving.keys() | self._memory.offered.keys()
            self._lost = {key: wish for key, wish in reading.served.items() if key not in known}
        self._changes.uploads.set()
        if reading.wanted != self._wanted:
            self._wanted = reading.wanted
            self._changes.seen()

    async def _load(self) -> None:
        """Look for uploads when the catalog has changed, or a trial has ended."""
        pause_s = FIRST_PAUSE_S
        while True:
            await self._changes.uploads.wait()
            self._changes.uploads.clear()
            try:
                await self._loads.run_once()
                pause_s = FIRST_PAUSE_S
            except TrivetError as error:
                log.warning("the catalog cannot say what is to be loaded: %s", error.message)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, MOST_PAUSE_S)
                self._changes.uploads.set()


async def _set_or_after(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
    event.clear()
