"""A supervisor with a real catalog and a real socket to a gateway, over workers that are no processes."""

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from trivet.catalog import Catalog, open_catalog
from trivet.domain.deployment import Deployment, DeploymentConfig, Resources
from trivet.domain.digest import digest_of_bytes
from trivet.domain.fault import Fault
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.package import ModelSettings
from trivet.domain.pipeline import ModelStep
from trivet.domain.routes import (
    NativeStep,
    Route,
    RouteState,
    RouteTable,
    StepKey,
    WorkerAddress,
    WorkerEnded,
    WorkerStep,
)
from trivet.domain.version import Acceleration, Architecture, LoadedModel, ModelVersion, VersionStatus
from trivet.errors import ModelFailed
from trivet.gateway.supervisor_socket import GatewaySocket
from trivet.loading.steps import PreparedStep
from trivet.supervisor.catalog_reader import CatalogReader
from trivet.supervisor.catalog_writer import CatalogWriter
from trivet.supervisor.fleet import FleetRules
from trivet.supervisor.fleets import Fleets
from trivet.supervisor.gateway_client import GatewayChannel
from trivet.supervisor.loop import Changes, Supervisor
from trivet.supervisor.memory_file import MemoryFile
from trivet.supervisor.prepared_steps import Preparations
from trivet.workers.backoff import BackoffPolicy
from trivet.workers.launcher import Adopted
from trivet.workers.spec import WorkerSpec
from trivet_tests.peers import peers_in

NUMBERS = pa.schema([pa.field("x", pa.float32(), nullable=False)])
RULES = FleetRules(
    policy=BackoffPolicy(first_s=0.01, most_s=0.05, healthy_s=0.1, give_up_after=10**6),
    struggling_s=0.04,
    first_retry_s=0.05,
    grace_s=0.1,
)

WITHIN_S = 60.0


class ProcesslessWorker:
    """Keeps what `RunningWorker` promises, without a process."""

    def __init__(self, number: int, spec: WorkerSpec) -> None:
        self.id = f"w{number}"
        self.pid = number
        self.address = WorkerAddress(id=self.id, location=f"grpc+unix:///nowhere/{number}")
        self.spec = spec
        self.devices = spec.devices
        self.protections = ("landlock 7", "seccomp")
        self.ended = asyncio.Event()
        # Of a handle whose supervisor was killed.
        self.powerless = False

    def kill(self) -> None:
        if not self.powerless:
            self.ended.set()

    async def stop(self, grace_s: float) -> None:
        self.kill()

    async def wait(self) -> str:
        await self.ended.wait()
        return "killed by SIGKILL (signal 9); its log is empty"


class ProcesslessLauncher:
    """Starts workers, but those of the models in `broken`; those of the models in `dying` end as soon as they are ready."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.dying: set[str] = set()
        self.tries = 0
        self.workers: list[ProcesslessWorker] = []
        self._numbers = itertools.count(1)

    async def start(self, spec: WorkerSpec) -> ProcesslessWorker:
        self.tries += 1
        await asyncio.sleep(0.005)
        if spec.name in self.broken:
            raise ModelFailed(f"the model of {spec.name} cannot be loaded", reason="load_failed")
        worker = ProcesslessWorker(next(self._numbers), spec)
        self.workers.append(worker)
        if spec.name in self.dying:
            worker.kill()
        return worker

    async def end(self, address: WorkerAddress) -> None:
        for worker in self.workers:
            if worker.id == address.id:
                worker.kill()

    async def lives(self, address: WorkerAddress) -> bool:
        return any(worker.id == address.id for worker in self.living())

    async def adopt(self) -> list[Adopted]:
        """A new supervisor has objects of its own for the workers that it finds."""
        found = []
        for worker in self.living():
            again = ProcesslessWorker(worker.pid, worker.spec)
            again.ended = worker.ended
            self.workers.append(again)
            found.append(Adopted(worker=again, fleet=worker.spec.fleet))
        return found

    async def logs(self, address: WorkerAddress) -> str:
        return ""

    def living(self, name: str | None = None) -> list[ProcesslessWorker]:
        """One handle for each worker that lives."""
        handles = {worker.id: worker for worker in self.workers if not worker.ended.is_set()}
        return [worker for worker in handles.values() if name in (None, worker.spec.name)]


class ShortGateway:
    """The gateway's socket, and behind it routes that serve at once, but those of the models in `refused`."""

    def __init__(self, path: Path) -> None:
        self.refused: set[str] = set()
        self.routes: dict[int, Route] = {}
        self.offered: dict[int, Route] = {}
        self.tables: list[RouteTable] = []
        self.ended: list[WorkerEnded] = []
        self.held: set[str] = set()
        self.to_end: list[WorkerAddress] = []
        self.peers = peers_in(path.parent)

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Listen, for the length of a `with` block."""
        async with GatewaySocket(
            self.peers,
            name="gateway",
            states=self._states,
            take_table=self._take,
            take_end=self.ended.append,
            to_end=lambda: tuple(self.to_end),
            flush=lambda: asyncio.sleep(0, result=True),
        ) as door:
            self.door = door
            yield

    def drain(self) -> None:
        """The last requests of what was replaced end."""
        self.held.clear()
        self.door.report()

    def serving(self, deployment_id: int) -> str | None:
        route = self.routes.get(deployment_id)
        return None if route is None else route.pipeline_version

    async def _take(self, table: RouteTable) -> None:
        self.tables.append(table)
        self.offered = {route.deployment_id: route for route in table.routes}
        for deployment_id, route in self.offered.items():
            if not self._fails(route):
                before = self.routes.get(deployment_id)
                if before is not None and before.digest != route.digest:
                    self.held.add(before.digest)
                self.routes[deployment_id] = route
        for deployment_id in [each for each in self.routes if each not in self.offered]:
            del self.routes[deployment_id]

    def _fails(self, route: Route) -> bool:
        return any(isinstance(step, NativeStep | WorkerStep) and step.name in self.refused for step in route.steps)

    def _states(self) -> tuple[RouteState, ...]:
        states = []
        for deployment_id, route in self.offered.items():
            serving = self.routes.get(deployment_id)
            failed = serving is None or serving.digest != route.digest
            using = {*self.held, *([] if serving is None else [serving.digest])}
            states.append(
                RouteState(
                    deployment_id=deployment_id,
                    offered=route.digest,
                    state="failed" if failed else "serving",
                    serving=None if serving is None else serving.digest,
                    serving_version=None if serving is None else serving.pipeline_version,
                    using=tuple(sorted(using)),
                    fault=Fault(error="ModelFailed", what="it refuses its own row") if failed else None,
                )
            )
        return tuple(states)


class NoLoads:
    """Nothing is uploaded here."""

    async def run_once(self) -> None:
        return None

    async def close(self) -> None:
        return None


@dataclass
class Place:
    """Everything around a supervisor, which may come and go."""

    run: Path
    catalog: Catalog
    gateway: ShortGateway
    launcher: ProcesslessLauncher = field(default_factory=ProcesslessLauncher)
    unprepared: set[str] = field(default_factory=set)
    pipelines: dict[str, int] = field(default_factory=dict)
    devices: tuple[str, ...] = ()

    def model(self, name: str, *, native: bool = False) -> ModelVersion:
        """A version that is ready."""
        framework = Framework.ONNX if native else Framework.CUSTOM
        version = self.catalog.models.add_version(
            workspace_id=1,
            name=name,
            file_name=f"{name}.zip",
            sha=digest_of_bytes(name.encode()),
            size=1,
            framework=framework,
            settings=ModelSettings(),
            arch=Architecture.X86,
            accel=Acceleration.NONE,
            visibility="private",
            created_by="me",
        )
        loaded = LoadedModel(
            runtime=Runtime.NATIVE if native else Runtime.ISOLATED,
            adapter="onnx" if native else "custom",
            model_file="model.onnx" if native else None,
            input_schema=NUMBERS,
            output_schema=NUMBERS,
        )
        return self.catalog.models.set_status(version.id, VersionStatus.READY, loaded=loaded)

    def deploy(self, pipeline: str, *versions: ModelVersion, replicas: int = 1, gpus: int = 0) -> Deployment:
        """What control does."""
        if pipeline not in self.pipelines:
            self.pipelines[pipeline] = self.catalog.pipelines.create(1, pipeline).id
        steps = tuple(ModelStep(name=each.name, version=each.uuid, sha=each.sha) for each in versions)
        sidekicks = {each.uuid: Resources(gpus=gpus) for each in versions} if gpus else {}
        config = DeploymentConfig(replicas=replicas, sidekicks=sidekicks)
        return self.catalog.deployments.deploy(self.pipelines[pipeline], steps=steps, config=config)[1]

    def undeploy(self, pipeline: str) -> Deployment:
        return self.catalog.deployments.undeploy(self.pipelines[pipeline])

    def status(self, pipeline: str) -> Any:
        deployment = self.catalog.deployments.of(self.pipelines[pipeline])
        assert deployment is not None
        return deployment.status

    def prepare(self, key: StepKey) -> PreparedStep:
        version = self.catalog.models.version(key[0])
        if version.name in self.unprepared:
            raise ModelFailed("its environment cannot be built")
        identity = {"name": version.name, "version": version.uuid, "version_id": version.id, "sha": version.sha}
        if version.framework is Framework.ONNX:
            return NativeStep(**identity, framework="onnx", path="/nowhere/model.onnx"), None
        spec = WorkerSpec(
            name=version.name,
            package=version.sha,
            environment=digest_of_bytes(b"an environment"),
            adapter="custom",
            entry={},
            input_schema=NUMBERS,
            output_schema=NUMBERS,
        )
        step = WorkerStep(**identity, framework="custom", input_schema=NUMBERS, output_schema=NUMBERS)
        return step, lambda: contextlib.nullcontext(spec)

    @contextlib.asynccontextmanager
    async def supervised(self, *, records: Any = None, killed: bool = False) -> AsyncIterator[Changes]:
        """A supervisor, for the length of a `with` block; one that is killed at the end leaves its workers."""
        catalog = self.catalog if records is None else records
        changes = Changes()
        writer = CatalogWriter(catalog)
        ends: set[asyncio.Task[None]] = set()
        channel = GatewayChannel(
            self.gateway.peers,
            on_change=changes.seen,
            on_end=lambda worker: ends.add(asyncio.create_task(self.launcher.end(worker))),
        )

        def ended(deployment_id: int, end: WorkerEnded) -> None:
            channel.worker_ended(end)
            writer.worker_ended(deployment_id, end)

        handles = self.launcher.workers
        fleets = Fleets(self.launcher, on_change=changes.seen, on_ended=ended, rules=RULES, devices=self.devices)
        for adopted in await self.launcher.adopt():
            fleets.adopt(adopted.fleet, adopted.worker)
        preparations = Preparations(self.prepare, on_change=changes.seen, retry_s=0.05)
        supervisor = Supervisor(
            changes=changes,
            reader=CatalogReader(catalog),
            writer=writer,
            gateway=channel,
            fleets=fleets,
            preparations=preparations,
            loads=NoLoads(),
            memory=MemoryFile(self.run / "supervisor.json", table=self.run / "routes.json"),
            poll_s=0.02,
        )
        working = asyncio.create_task(supervisor.run())
        try:
            yield changes
        finally:
            assert not working.done(), working.exception()
            working.cancel()
            await asyncio.wait([working])
            for worker in handles:
                worker.powerless = killed
            await supervisor.close(leave_workers=False)


@pytest.fixture
def place(tmp_path: Path, first_catalog: Path) -> Iterator[Callable[[], Place]]:
    """Makes the surroundings of a supervisor within an event loop."""
    shutil.copy(first_catalog, tmp_path / "catalog.db")
    catalog = open_catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield lambda: Place(run=tmp_path, catalog=catalog, gateway=ShortGateway(tmp_path / "gateway.sock"))
    catalog.close()


@pytest.fixture
def soon() -> Callable[..., Any]:
    """`await soon(lambda: …)` waits until something holds."""

    async def wait(holds: Callable[[], Any], *, within_s: float = WITHIN_S) -> None:
        async with asyncio.timeout(within_s):
            while not await asyncio.to_thread(holds):
                await asyncio.sleep(0.01)

    return wait
