"""The supervisor as a process of the platform: it brings the platform into the catalog's desired state. Predictions do not need it.

After a write to the catalog, a process may connect to `<home>/run/supervisor.sock`, so that the supervisor reads it at once; an
answer there also proves that the supervisor runs.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from trivet.blobs import Blobs, open_blobs, settling
from trivet.catalog import Catalog
from trivet.disk.errors import disk
from trivet.disk.peers import Peers, PeerSocket
from trivet.disk.worker_logs import stamp_logs
from trivet.domain.routes import WorkerAddress, WorkerEnded
from trivet.loading.queue import LoadQueue, LoadQueueLimits
from trivet.loading.restore import sandbox_of, scratch_folder, worker_files
from trivet.loading.steps import Steps
from trivet.loading.trials import ProcessTrials
from trivet.packaging import discard_package
from trivet.settings import Settings, settings_to_json
from trivet.supervisor.catalog_reader import CatalogReader
from trivet.supervisor.catalog_writer import CatalogWriter
from trivet.supervisor.fleets import Fleets
from trivet.supervisor.gateway_client import GatewayChannel
from trivet.supervisor.loop import Changes, Supervisor
from trivet.supervisor.memory_file import MemoryFile
from trivet.supervisor.prepared_steps import Preparations
from trivet.wiring.catalogs import catalog_of
from trivet.wiring.process import event_loops
from trivet.workers.devices import find_devices
from trivet.workers.launcher import Launcher
from trivet.workers.processes import ProcessLauncher

__all__ = ["ALIVE", "TRIAL_PROGRAM", "load_queue", "run_supervisor"]

log = logging.getLogger(__name__)

# Not from the current folder: its modules are not Trivet's.
TRIAL_PROGRAM = (sys.executable, "-P", "-m", "trivet.wiring.trial_process")
# A trial runs code of the model's author, which needs none of these.
SECRETS = {"TRIVET_TOKEN", "TRIVET_DATABASE_URL"}
# Above the worker's own limit, whose error says more.
LOAD_MARGIN_S = 60.0
# How long a stop waits for workers that the gateway gave up.
END_S = 10.0
MOST_LINE_BYTES = 2**16
# The lines in the logs of workers get times that are so exact.
STAMP_S = 2.0
ALIVE = b"alive\n"
"""Its answer to a connection."""


@contextlib.contextmanager
def _process_launcher(settings: Settings, lifeline: int, devices: tuple[str, ...]) -> Iterator[Launcher]:
    launcher = ProcessLauncher(
        environ=os.environ,
        home=settings.home,
        files=worker_files(settings),
        lifeline=lifeline,
        records=settings.home / "run" / "workers",
        devices=devices,
        sandbox=sandbox_of(settings),
    )
    try:
        yield launcher
    finally:
        launcher.close()


LAUNCHERS: Final[Mapping[str, Callable[[Settings, int, tuple[str, ...]], AbstractContextManager[Launcher]]]] = {
    "process": _process_launcher,
}
"""What opens each launcher, from the settings, the lifeline and this machine's devices."""


def run_supervisor(settings: Settings, *, peers: Peers, lifeline: int, again: bool = False) -> None:
    """Supervise until SIGTERM, SIGINT or SIGHUP.

    The first two end all workers. SIGHUP leaves those that are ready to the next supervisor.

    Args:
        settings: home, database, blobs, limits.
        peers: how the platform's processes reach each other.
        lifeline: a descriptor that becomes readable when the platform has ended: workers end then.
        again: an earlier supervisor ran: see `catalog_of`.

    Raises:
        TrivetError: the blob store, the socket, or at the first start the catalog cannot be opened.
    """
    with disk(settings.home, reason="home_not_writable"):
        settings.home.joinpath("run").mkdir(parents=True, exist_ok=True, mode=0o700)
    blobs = open_blobs(settings.blob_url, home=settings.home)
    with (
        contextlib.closing(catalog_of(settings, again=again)) as catalog,
        asyncio.Runner(loop_factory=event_loops()) as runner,
    ):
        devices = find_devices(os.environ)
        with LAUNCHERS["process"](settings, lifeline, devices) as launcher:
            runner.run(_run(settings, peers=peers, launcher=launcher, devices=devices, catalog=catalog, blobs=blobs))


async def _run(
    settings: Settings,
    *,
    peers: Peers,
    launcher: Launcher,
    devices: tuple[str, ...],
    catalog: Catalog,
    blobs: Blobs,
) -> None:
    stop = _Stop()
    run = settings.home / "run"
    changes = Changes()
    writer = CatalogWriter(catalog)
    ending: set[asyncio.Task[None]] = set()

    async def end_worker(worker: WorkerAddress) -> None:
        try:
            await launcher.end(worker)
        except Exception:
            log.exception("failed to end worker %s", worker.id)

    def end(worker: WorkerAddress) -> None:
        task = asyncio.create_task(end_worker(worker), name=f"end {worker.id}")
        ending.add(task)
        task.add_done_callback(ending.discard)

    gateway = GatewayChannel(peers, on_change=changes.seen, on_end=end)

    def ended(deployment_id: int, end: WorkerEnded) -> None:
        gateway.worker_ended(end)
        writer.worker_ended(deployment_id, end)

    fleets = Fleets(
        launcher,
        on_change=changes.seen,
        on_ended=ended,
        devices=devices,
    )
    for adopted in await launcher.adopt():
        fleets.adopt(adopted.fleet, adopted.worker)
    supervisor = Supervisor(
        changes=changes,
        reader=CatalogReader(catalog),
        writer=writer,
        gateway=gateway,
        fleets=fleets,
        preparations=Preparations(
            Steps(
                catalog.models,
                blobs=blobs,
                settings=settings,
                journal=catalog.journal,
                native_faults=lambda: gateway.native_faults,
            ).prepare,
            on_change=changes.seen,
        ),
        loads=load_queue(settings, catalog=catalog, blobs=blobs, environ=os.environ, on_change=changes.look),
        memory=MemoryFile(run / "supervisor.json", table=run / "routes.json"),
    )

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        changes.look()
        with contextlib.suppress(OSError):
            writer.write(ALIVE)
            await writer.drain()

    stamping = asyncio.create_task(_stamp_logs(settings.home / "logs"))
    async with PeerSocket(peers, "supervisor", serve=answer, most_line_bytes=MOST_LINE_BYTES):
        working = asyncio.create_task(supervisor.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        stamping.cancel()
        failed = working.done()
        working.cancel()
        await asyncio.wait([working])
        await supervisor.close(leave_workers=failed or stop.leave)
        if ending:
            await asyncio.wait(ending, timeout=END_S)
    if failed:
        log.critical("the supervisor failed", exc_info=working.exception())
    if failed or stop.leave:
        # Ending this event loop in order would end its workers.
        logging.shutdown()
        os._exit(1 if failed else 0)


async def _stamp_logs(folder: Path) -> None:
    while True:
        await asyncio.to_thread(stamp_logs, folder, now_s=time.time())
        await asyncio.sleep(STAMP_S)


def load_queue(
    settings: Settings,
    *,
    catalog: Catalog,
    blobs: Blobs,
    environ: Mapping[str, str],
    on_change: Callable[[], None],
    program: Sequence[str] = TRIAL_PROGRAM,
) -> LoadQueue:
    """The queue that tries uploaded versions. It is made and used within an event loop.

    Args:
        settings: home and limits.
        catalog: has the versions; what became of them is written there.
        blobs: holds the uploaded files.
        environ: this process's environment; trials get it without Trivet's own secrets.
        on_change: called when a version became ready or failed.
        program: runs one trial.
    """
    return LoadQueue(
        models=catalog.models,
        journal=catalog.journal,
        blobs=blobs,
        trials=ProcessTrials(program, environ={name: value for name, value in environ.items() if name not in SECRETS}),
        scratch=partial(scratch_folder, settings.home),
        settling=partial(settling, settings.home),
        discard_package=partial(discard_package, settings.home / "packages"),
        settings=settings_to_json(replace(settings, database_url=None)),
        parent=os.getpid(),
        limits=LoadQueueLimits(load_s=settings.load_timeout_s + LOAD_MARGIN_S),
        on_change=on_change,
    )


class _Stop:
    """The signals that end a supervisor."""

    def __init__(self) -> None:
        self.leave = False
        self._requested = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._arrived, number)

    async def wait(self) -> None:
        """Wait for the first."""
        await self._requested.wait()

    def _arrived(self, number: int) -> None:
        self.leave = number == signal.SIGHUP
        self._requested.set()
