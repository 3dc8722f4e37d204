"""The supervisor's loop: compare the desired with the actual state, and act, again and again.

Each source of changes has its own task (the catalog, the gateway, workers, uploads), so that none waits for another: workers are
replaced even if the database hangs.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from trivet.domain.deployment import DeploymentState, DeploymentStatus
from trivet.domain.pauses import doubling_s
from trivet.errors import TrivetError
from trivet.supervisor.catalog_reader import CatalogReader, Reading
from trivet.supervisor.catalog_writer import CatalogWriter
from trivet.supervisor.desired import DesiredPipeline, DesiredState, Memory
from trivet.supervisor.fleets import Fleets
from trivet.supervisor.gateway_client import GatewayChannel
from trivet.supervisor.memory_file import MemoryFile
from trivet.supervisor.plan import plan
from trivet.supervisor.prepared_steps import Preparations
from trivet.supervisor.states import Observed

__all__ = ["Changes", "Loads", "Supervisor"]

log = logging.getLogger(__name__)

POLL_S = 1.0
FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 5.0


class Loads(Protocol):
    """Loads uploads: see `LoadQueue`."""

    async def run_once(self) -> None:
        """Start to load pending uploads."""

    async def close(self) -> None:
        """End the running loads; the next supervisor starts them again."""


class Changes:
    """Flags of changes, shared by all sources. They exist before the supervisor does."""

    def __init__(self) -> None:
        self.world = asyncio.Event()
        self.catalog = asyncio.Event()
        self.uploads = asyncio.Event()

    def seen(self) -> None:
        """Fleets, steps or the gateway have changed."""
        self.world.set()

    def look(self) -> None:
        """The catalog may have changed."""
        self.catalog.set()
        self.uploads.set()


class Supervisor:
    """Brings the platform into the desired state. Call it in the event loop's thread.

    Args:
        changes: set by all of the others.
        reader: reads the desired state.
        writer: writes the observed state.
        gateway: the client of the gateway.
        fleets: workers.
        preparations: of steps.
        loads: of uploads.
        memory: what an earlier supervisor stored.
        poll_s: how often the catalog is checked without a notification.
    """

    def __init__(
        self,
        *,
        changes: Changes,
        reader: CatalogReader,
        writer: CatalogWriter,
        gateway: GatewayChannel,
        fleets: Fleets,
        preparations: Preparations,
        loads: Loads,
        memory: MemoryFile,
        poll_s: float = POLL_S,
    ) -> None:
        self._changes = changes
        self._reader = reader
        self._writer = writer
        self._gateway = gateway
        self._fleets = fleets
        self._preparations = preparations
        self._loads = loads
        self._file = memory
        self._memory = Memory()
        self._desired: DesiredState | None = None
        self._lost: dict[int, DesiredPipeline] | None = None
        self._poll_s = poll_s

    async def run(self) -> None:
        """Work until cancelled. Started workers keep running: see `close`."""
        self._memory = await asyncio.to_thread(self._file.read)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._gateway.run(), name="gateway")
            tasks.create_task(self._writer.run(), name="write statuses")
            tasks.create_task(self._read(), name="catalog")
            tasks.create_task(self._load(), name="uploads")
            tasks.create_task(self._reconcile(), name="reconcile")

    async def close(self, *, leave_workers: bool) -> None:
        """End trials and preparations, and the workers unless they are left to another supervisor."""
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
            # Until the catalog was read, change nothing.
            if self._desired is not None:
                await self._turn(self._desired)

    async def _turn(self, desired: DesiredState) -> None:
        self._preparations.leave_gateway(self._gateway.native_faults)
        observed = Observed(
            fleets=self._fleets.states,
            ending=self._fleets.ending,
            prepared=self._preparations.states,
            report=self._gateway.report,
            table=self._gateway.table,
            memory=self._memory,
        )
        made = plan(self._with_lost(desired), observed)
        if made.memory != self._memory:
            # Write it before acting: after a crash, the next supervisor knows every route that may be in use.
            await asyncio.to_thread(self._file.write, made.memory)
            self._memory = made.memory
        for step, generation in made.prepare.items():
            self._preparations.require(step, generation)
        for fleet in made.start:
            work = self._preparations.work(fleet.step)
            if work is not None:
                self._fleets.start(fleet, work)
        for key, count in made.resize.items():
            self._fleets.resize(key, count)
        for key in made.stop:
            self._fleets.stop(key)
        if made.table is not None:
            self._gateway.offer(made.table)
        self._writer.update(made.statuses)
        self._forget_found(made.statuses)

    def _with_lost(self, desired: DesiredState) -> DesiredState:
        """The desired state; if the route that answered last is unknown and not desired, that route first."""
        if not self._lost:
            return desired
        return DesiredState(
            running=tuple(self._lost.get(each.deployment_id, each) for each in desired.running),
            stopped=desired.stopped,
        )

    def _forget_found(self, statuses: Mapping[int, DeploymentStatus]) -> None:
        for deployment_id in list(self._lost or ()):
            status = statuses.get(deployment_id)
            if status is not None and status.state is not DeploymentState.STARTING:
                assert self._lost is not None
                del self._lost[deployment_id]
                self._changes.seen()

    async def _read(self) -> None:
        """Follow the catalog. While it is unreachable, its last state holds."""
        failures = 0
        while True:
            try:
                reading = await asyncio.to_thread(self._reader.read)
            except TrivetError as error:
                log.warning("failed to read the catalog: %s", error.message)
                await asyncio.sleep(_pause_s(failures))
                failures += 1
                continue
            failures = 0
            if reading is not None:
                # A new deploy restores the lost files of a step.
                await self._preparations.recheck()
                self._take(reading)
            await _set_or_after(self._changes.catalog, self._poll_s)

    def _take(self, reading: Reading) -> None:
        self._writer.known(reading.statuses, reading.workspaces)
        if self._lost is None:
            known = self._memory.serving.keys() | self._memory.offered.keys()
            self._lost = {key: served for key, served in reading.served.items() if key not in known}
        self._changes.uploads.set()
        if reading.desired != self._desired:
            self._desired = reading.desired
            self._changes.seen()

    async def _load(self) -> None:
        """Look for uploads when the catalog has changed, or a trial has ended."""
        failures = 0
        while True:
            await self._changes.uploads.wait()
            self._changes.uploads.clear()
            try:
                await self._loads.run_once()
                failures = 0
            except TrivetError as error:
                log.warning("failed to read pending uploads from the catalog: %s", error.message)
                await asyncio.sleep(_pause_s(failures))
                failures += 1
                self._changes.uploads.set()


def _pause_s(failures: int) -> float:
    return doubling_s(failures, first_s=FIRST_PAUSE_S, most_s=MOST_PAUSE_S)


async def _set_or_after(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
    event.clear()
