"""Writes the observed statuses of deployments to the catalog when they change, as soon as it is reachable."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

import msgspec

from trivet.catalog import Catalog
from trivet.domain.deployment import DeploymentState, DeploymentStatus
from trivet.domain.pauses import doubling_s
from trivet.domain.routes import WorkerEnded
from trivet.errors import NotFound, TrivetError
from trivet.supervisor.earlier_ends import EarlierEnds

__all__ = ["CatalogWriter"]

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 5.0
MOST_EVENTS = 1000


class CatalogWriter:
    """Writes statuses and events. Call it in the event loop's thread; it calls the catalog in threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._written: dict[int, DeploymentStatus] = {}
        self._earlier = EarlierEnds()
        self._newest: dict[int, DeploymentStatus] = {}
        self._workspaces: dict[int, int] = {}
        self._events: list[tuple[int, str, str]] = []
        self._changed = asyncio.Event()

    def known(self, statuses: Mapping[int, DeploymentStatus], workspaces: Mapping[int, int]) -> None:
        """Take the statuses that were read from the catalog; later writes are newer."""
        for key, status in statuses.items():
            if key not in self._written and key not in self._newest:
                self._earlier.take(key, status)
        self._written = {key: self._written.get(key, status) for key, status in statuses.items()}
        self._workspaces = dict(workspaces)
        self._newest = {key: status for key, status in self._newest.items() if key in statuses}
        self._changed.set()

    def update(self, statuses: Mapping[int, DeploymentStatus]) -> None:
        """Take the observed statuses."""
        for deployment_id, status in statuses.items():
            before = self._newest.get(deployment_id) or self._written.get(deployment_id)
            answered = status.serving
            if answered is None and before is not None and status.state is not DeploymentState.STOPPED:
                answered = before.answered
            whole = self._earlier.added_to(deployment_id, status)
            self._newest[deployment_id] = msgspec.structs.replace(whole, answered=answered)
        self._changed.set()

    def worker_ended(self, deployment_id: int, end: WorkerEnded) -> None:
        """Add an event for a worker that ended unexpectedly."""
        self._event(deployment_id, "worker_ended", f"a worker ended: {end.ending.partition(chr(10))[0]}")

    async def run(self) -> None:
        """Write, until cancelled."""
        failures = 0
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._write()
                failures = 0
            except TrivetError as error:
                log.warning("failed to write statuses to the catalog: %s", error.message)
                await asyncio.sleep(doubling_s(failures, first_s=FIRST_PAUSE_S, most_s=MOST_PAUSE_S))
                failures += 1
                self._changed.set()

    async def _write(self) -> None:
        for deployment_id, status in list(self._newest.items()):
            before = self._written.get(deployment_id)
            if before == status:
                continue
            with contextlib.suppress(NotFound):  # the deployment was deleted meanwhile
                await asyncio.to_thread(self._catalog.deployments.set_status, deployment_id, status)
            self._written[deployment_id] = status
            if before is None or (before.state, before.generation) != (status.state, status.generation):
                self._event(deployment_id, status.state.lower(), _text(status))
        while self._events:
            deployment_id, kind, text = self._events[0]
            workspace_id = self._workspaces.get(deployment_id)
            if workspace_id is not None:
                with contextlib.suppress(NotFound):
                    await asyncio.to_thread(
                        self._catalog.journal.add_event,
                        workspace_id=workspace_id,
                        subject="deployment",
                        subject_id=str(deployment_id),
                        kind=kind,
                        text=text,
                    )
            del self._events[0]

    def _event(self, deployment_id: int, kind: str, text: str) -> None:
        if len(self._events) < MOST_EVENTS:
            self._events.append((deployment_id, kind, text))
            self._changed.set()


def _text(status: DeploymentStatus) -> str:
    match status.state:
        case DeploymentState.ERROR if status.fault is not None:
            return status.fault.message.partition("\n")[0]
        case DeploymentState.RUNNING:
            return f"pipeline version {status.serving} answers"
        case DeploymentState.STOPPED:
            return "it does not answer any more"
        case _:
            return "it is being started"
