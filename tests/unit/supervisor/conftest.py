"""A world for the plan: fleets, a gateway that keeps the promises of the real one, and everything that may go wrong with them."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from trivet.domain.deployment import DeploymentConfig, DeploymentState, DeploymentStatus
from trivet.domain.fault import Fault
from trivet.domain.pipeline import ModelStep
from trivet.domain.routes import (
    GatewayReport,
    NativeStep,
    Route,
    RouteState,
    RouteTable,
    StepKey,
    WorkerAddress,
    WorkerStep,
)
from trivet.supervisor.desired import DesiredFleet, DesiredPipeline, DesiredState, Memory, Stopping
from trivet.supervisor.plan import Plan, plan
from trivet.supervisor.states import FleetState, NotPrepared, Observed, SlotState, StepState

NUMBERS = pa.schema([("x", pa.float32())])
FAULT = Fault(error="ModelFailed", what="it does not work")


@dataclass(frozen=True)
class Version:
    """A model version of the world, and what is wrong with it."""

    uuid: str
    isolated: bool = True
    unprepared: bool = False
    dies_at_start: bool = False
    refused: bool = False

    @property
    def good(self) -> bool:
        return not (self.unprepared or self.refused or (self.isolated and self.dies_at_start))

    def route(self) -> NativeStep | WorkerStep:
        identity = {"name": "m", "version": self.uuid, "version_id": 1, "sha": "0" * 64}
        if self.isolated:
            return WorkerStep(**identity, framework="custom", input_schema=NUMBERS, output_schema=NUMBERS)
        return NativeStep(**identity, framework="onnx", path=f"/packages/{self.uuid}/model.onnx")


@dataclass
class Served:
    """One deployment in the gateway."""

    offer: Route | None = None
    serving: Route | None = None
    loading: Route | None = None
    failed: Route | None = None
    leaving: list[Route] = field(default_factory=list)


class Gateway:
    """Takes tables as the real one does, and loads, swaps and drains when the world says so."""

    def __init__(self, world: "World", kept: tuple[Route, ...] = ()) -> None:
        self.world = world
        self.deployments: dict[int, Served] = {}
        self.number = 0
        self.take(RouteTable(number=0, routes=kept))

    def take(self, table: RouteTable) -> None:
        self.number = table.number
        routes = {route.deployment_id: route for route in table.routes}
        for deployment_id, served in self.deployments.items():
            if deployment_id not in routes:
                served.leaving += [route for route in (served.serving, served.loading) if route is not None]
                served.offer = served.serving = served.loading = served.failed = None
        for route in table.routes:
            self._offer(self.deployments.setdefault(route.deployment_id, Served()), route)

    def _offer(self, served: Served, route: Route) -> None:
        served.offer = route
        if served.loading is not None:
            if served.loading.digest == route.digest:
                served.loading = route
                return
            served.leaving.append(served.loading)
            served.loading = None
        if served.serving is not None and served.serving.digest == route.digest:
            served.failed, served.serving = None, route
        elif served.failed != route:
            served.failed, served.loading = None, route

    def finish_loading(self, deployment_id: int) -> None:
        served = self.deployments.get(deployment_id)
        if served is None or served.loading is None:
            return
        route = served.loading
        isolated = [step for step in route.steps if isinstance(step, WorkerStep)]
        if any(not step.workers for step in isolated):
            return  # it waits for its first worker
        served.loading = None
        if any(self.world.versions[step.version].refused for step in route.steps):  # type: ignore[union-attr]
            served.failed = route
            return
        if served.serving is not None:
            served.leaving.append(served.serving)
        served.serving = route

    def drain(self) -> None:
        for deployment_id, served in list(self.deployments.items()):
            served.leaving.clear()
            if served.offer is None:
                del self.deployments[deployment_id]

    def report(self) -> GatewayReport:
        return GatewayReport(
            gateway="gateway",
            number=self.number,
            states=tuple(self._state(key, served) for key, served in sorted(self.deployments.items())),
        )

    def _state(self, deployment_id: int, served: Served) -> RouteState:
        using = {route.digest for route in (served.serving, served.loading, *served.leaving) if route is not None}
        if served.offer is None:
            word = "leaving"
        elif served.loading is not None:
            word = "loading"
        else:
            word = "failed" if served.failed is not None else "serving"
        return RouteState(
            deployment_id=deployment_id,
            offered=None if served.offer is None else served.offer.digest,
            state=word,  # type: ignore[arg-type]
            serving=None if served.serving is None else served.serving.digest,
            serving_version=None if served.serving is None else served.serving.pipeline_version,
            using=tuple(sorted(using)),
            fault=FAULT if served.failed is not None else None,
        )

    def workers_in_use(self) -> set[str]:
        """Ids of the workers that some request may be sent to."""
        routes = [
            route
            for served in self.deployments.values()
            for route in (served.serving, *served.leaving)
            if route is not None
        ]
        steps = [step for route in routes for step in route.steps if isinstance(step, WorkerStep)]
        return {worker.id for step in steps for worker in step.workers}


@dataclass
class Fleet:
    """Workers; `None` where one is being started."""

    version: Version
    slots: list[WorkerAddress | None]
    generation: int
    failed: bool = False
    kept: bool = True

    def state(self) -> FleetState:
        slots = tuple(
            SlotState(address=each, status=DeploymentState.STARTING if each is None else DeploymentState.RUNNING)
            for each in self.slots
        )
        return FleetState(slots=slots, fault=FAULT if self.failed else None, kept=self.kept, generation=self.generation)


class World:
    """Everything outside the plan."""

    def __init__(self, versions: tuple[Version, ...]) -> None:
        self.versions: Mapping[str, Version] = {version.uuid: version for version in versions}
        self.fleets: dict[str, Fleet] = {}
        self.prepared: dict[StepKey, StepState] = {}
        self.preparing: dict[StepKey, int] = {}
        self.pipelines: dict[int, DesiredPipeline | Stopping] = {}
        self.generations: dict[int, int] = {}
        self.statuses: dict[int, DeploymentStatus] = {}
        self.memory = Memory()
        self.table: RouteTable | None = None
        self.gateway: Gateway | None = Gateway(self)
        self.last_report: GatewayReport | None = self.gateway.report()
        self.in_flight: list[RouteTable] = []
        self.kept: tuple[Route, ...] = ()
        self.ids = (f"w{number}" for number in itertools.count())
        self.stopped_in_use: list[str] = []

    # What users do.

    def deploy(self, deployment_id: int, versions: tuple[str, ...], *, replicas: int = 1) -> None:
        generation = self.generations[deployment_id] = self.generations.get(deployment_id, 0) + 1
        self.pipelines[deployment_id] = DesiredPipeline(
            deployment_id=deployment_id,
            workspace_id=1,
            pipeline=f"p{deployment_id}",
            pipeline_version=f"v{deployment_id}.{generation}",
            generation=generation,
            steps=tuple(ModelStep(name="m", version=uuid, sha="0" * 64) for uuid in versions),
            config=DeploymentConfig(replicas=replicas),
        )

    def rescale(self, deployment_id: int, replicas: int) -> None:
        """The same again, with another number of workers."""
        desired = self.pipelines.get(deployment_id)
        if isinstance(desired, DesiredPipeline):
            self.deploy(deployment_id, tuple(step.version for step in desired.models), replicas=replicas)

    def undeploy(self, deployment_id: int) -> None:
        generation = self.generations[deployment_id] = self.generations.get(deployment_id, 0) + 1
        self.pipelines[deployment_id] = Stopping(deployment_id=deployment_id, generation=generation)

    @property
    def desired(self) -> DesiredState:
        return DesiredState(
            running=tuple(desired for desired in self.pipelines.values() if isinstance(desired, DesiredPipeline)),
            stopped=tuple(desired for desired in self.pipelines.values() if isinstance(desired, Stopping)),
        )

    # What the supervisor does.

    def observed(self) -> Observed:
        return Observed(
            fleets={key: fleet.state() for key, fleet in self.fleets.items()},
            prepared=dict(self.prepared),
            report=self.last_report,
            table=self.table,
            memory=self.memory,
        )

    def turn(self) -> Plan:
        made = plan(self.desired, self.observed())
        self.memory = made.memory
        self.preparing.update(made.prepare)
        for desired in made.start:
            self._start(desired)
        for key, count in made.resize.items():
            self._resize(key, count)
        for key in made.stop:
            self._end_all(self.fleets.pop(key).slots)
        if made.table is not None:
            self.table = made.table
            if self.last_report is not None:
                self.in_flight.append(made.table)
        self.statuses.update(made.statuses)
        return made

    def _start(self, desired: DesiredFleet) -> None:
        version = self.versions[desired.version]
        assert version.isolated
        fleet = self.fleets.get(desired.key)
        assert fleet is None or fleet.failed or not fleet.kept
        adopted = [slot for slot in fleet.slots if slot is not None] if fleet is not None else []
        # A fleet that takes over more than it needs shrinks later.
        slots = adopted + [None] * (desired.count - len(adopted))
        self.fleets[desired.key] = Fleet(version, slots, desired.generation)

    def _resize(self, key: str, count: int) -> None:
        fleet = self.fleets[key]
        self._end_all(fleet.slots[count:])
        fleet.slots = fleet.slots[:count] + [None] * (count - len(fleet.slots))

    def _end_all(self, workers: list[WorkerAddress | None]) -> None:
        used = set() if self.gateway is None else self.gateway.workers_in_use()
        self.stopped_in_use += [worker.id for worker in workers if worker is not None and worker.id in used]

    # What happens.

    def finish_preparing(self) -> None:
        for key, generation in self.preparing.items():
            version = self.versions[key[0]]
            self.prepared[key] = NotPrepared(FAULT, generation) if version.unprepared else version.route()
        self.preparing.clear()

    def start_workers(self) -> None:
        for fleet in self.fleets.values():
            if fleet.version.dies_at_start:
                fleet.failed = True
                continue
            if fleet.kept:
                fleet.slots = [slot or self._worker() for slot in fleet.slots]

    def _worker(self) -> WorkerAddress:
        name = next(self.ids)
        return WorkerAddress(id=name, location=f"grpc+unix:///{name}")

    def lose_worker(self, number: int) -> None:
        ready = [
            (fleet, index)
            for fleet in self.fleets.values()
            for index, slot in enumerate(fleet.slots)
            if slot is not None
        ]
        if ready:
            fleet, index = ready[number % len(ready)]
            fleet.slots[index] = None

    def deliver(self) -> None:
        """The oldest table that is on its way arrives."""
        if self.gateway is not None and self.in_flight:
            self.kept = self.in_flight[0].routes
            self.gateway.take(self.in_flight.pop(0))

    def receive_report(self) -> None:
        """The gateway's newest report arrives."""
        if self.gateway is not None and self.last_report is not None:
            self.last_report = self.gateway.report()

    def connect(self) -> None:
        if self.gateway is not None and self.last_report is None:
            self.last_report = replace_number(self.gateway)
            self.in_flight = [] if self.table is None else [self.table]

    def disconnect(self) -> None:
        self.last_report = None
        self.in_flight.clear()

    def load(self) -> None:
        if self.gateway is not None:
            for deployment_id in list(self.gateway.deployments):
                self.gateway.finish_loading(deployment_id)

    def drain(self) -> None:
        if self.gateway is not None:
            self.gateway.drain()

    def kill_gateway(self) -> None:
        self.gateway = None
        self.disconnect()

    def start_gateway(self) -> None:
        if self.gateway is None:
            self.gateway = Gateway(self, self.kept)

    def restart_supervisor(self) -> None:
        """Workers live on; what was on its way is lost."""
        self.disconnect()
        self.prepared.clear()
        self.preparing.clear()
        self.table = None
        for key, fleet in list(self.fleets.items()):
            # Those that were still being started are not adopted.
            fleet.slots, fleet.failed = [slot for slot in fleet.slots if slot is not None], False
            fleet.kept, fleet.generation = False, 0
            if not fleet.slots:
                del self.fleets[key]

    def round(self) -> None:
        """A little of everything goes well; requests of versions that were replaced still run."""
        self.connect()
        self.finish_preparing()
        self.start_workers()
        self.deliver()
        self.load()
        self.receive_report()
        self.turn()

    def settle(self, *, turns: int = 60) -> None:
        """Everything works from now on, until nothing happens any more."""
        for _ in range(turns):
            self.start_gateway()
            self.connect()
            self.finish_preparing()
            self.start_workers()
            while self.in_flight:
                self.deliver()
            self.load()
            self.drain()
            self.receive_report()
            self.turn()


def replace_number(gateway: Gateway) -> GatewayReport:
    """A new connection has taken in no table yet."""
    gateway.number = 0
    return gateway.report()


GOOD = ("good-1", "good-2", "good-3", "native-1", "native-2")
BAD = ("unprepared", "dies", "refused", "native-refused")


@pytest.fixture(scope="session")
def make_world() -> Callable[[], World]:
    """Worlds with the versions of `GOOD` and `BAD`."""
    versions = (
        *(Version(name) for name in GOOD[:3]),
        *(Version(name, isolated=False) for name in GOOD[3:]),
        Version("unprepared", unprepared=True),
        Version("dies", dies_at_start=True),
        Version("refused", refused=True),
        Version("native-refused", isolated=False, refused=True),
    )
    return lambda: World(versions)
