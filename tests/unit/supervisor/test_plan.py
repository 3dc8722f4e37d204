"""What the supervisor does next, rule by rule. That the rules hold together is for the properties to show."""

from collections.abc import Callable
from typing import Any

import pytest

from trivet.domain.deployment import DeploymentConfig, DeploymentState, Resources
from trivet.domain.fault import Fault
from trivet.domain.pipeline import CheckStep, ModelStep, Validation
from trivet.domain.routes import GatewayReport, NativeStep, Route, RouteState, RouteTable, ValidationStep
from trivet.supervisor.desired import DesiredPipeline, DesiredState, Memory, fleets_of, known_route, memory_of_table
from trivet.supervisor.plan import plan
from trivet.supervisor.states import Observed

NATIVE = NativeStep(name="m", version="v", version_id=1, sha="0" * 64, framework="onnx", path="/p/m.onnx")
FAULT = Fault(error="ModelFailed", what="it did not work at first")


def desired(*, generation: int = 1, **options: Any) -> DesiredPipeline:
    step = ModelStep(name="m", version="v", sha="0" * 64)
    return DesiredPipeline(
        deployment_id=1,
        workspace_id=1,
        pipeline="p",
        pipeline_version="pv",
        generation=generation,
        steps=(step,),
        config=DeploymentConfig(**options),
    )


def running(make_world: Callable[[], Any], *versions: str, **options: Any) -> Any:
    world = make_world()
    world.deploy(1, versions, **options)
    world.settle()
    assert world.statuses[1].state is DeploymentState.RUNNING
    return world


def test_nothing_is_offered_before_the_gateways_first_report() -> None:
    observed = Observed(prepared={("v", None): NATIVE})
    assert plan(DesiredState(running=(desired(),)), observed).table is None
    reported = Observed(prepared={("v", None): NATIVE}, report=GatewayReport(gateway="g", number=0, states=()))
    table = plan(DesiredState(running=(desired(),)), reported).table
    assert table is not None
    assert [route.pipeline_version for route in table.routes] == ["pv"]


def test_a_table_without_an_unknown_serving_route_is_held_back() -> None:
    state = RouteState(deployment_id=1, offered="x", state="serving", serving="x", serving_version="old", using=("x",))
    observed = Observed(report=GatewayReport(gateway="g", number=0, states=(state,)))
    assert plan(DesiredState(running=(desired(),)), observed).table is None
    # A deployment that is to stop is removed all the same.
    table = plan(DesiredState(), observed).table
    assert table is not None
    assert table.routes == ()


def test_a_route_waits_for_all_workers_of_all_its_fleets(make_world: Callable[[], Any]) -> None:
    world = make_world()
    world.deploy(1, ("good-1", "good-2"), replicas=2)
    world.turn()
    world.finish_preparing()
    world.turn()
    world.start_workers()
    lacking = list(world.fleets.values())[1]
    worker, lacking.slots[1] = lacking.slots[1], None
    world.turn()
    assert world.table is None or world.table.routes == ()
    lacking.slots[1] = worker
    assert [len(step.workers) for route in world.turn().table.routes for step in route.steps] == [2, 2]


def test_a_worker_that_is_lost_leaves_the_route_and_the_route_stays(make_world: Callable[[], Any]) -> None:
    world = running(make_world, "good-1", replicas=2)
    world.lose_worker(0)
    (route,) = world.turn().table.routes
    assert len(route.steps[0].workers) == 1


@pytest.mark.parametrize("event", ["disconnect", "kill_gateway"])
def test_nothing_is_stopped_while_the_gateway_says_nothing(make_world: Callable[[], Any], event: str) -> None:
    world = running(make_world, "good-1")
    getattr(world, event)()
    world.undeploy(1)
    for _ in range(5):
        assert world.turn().stop == ()
    world.settle()
    assert world.fleets == {}


def test_a_redeploy_keeps_the_workers_of_steps_that_stay(make_world: Callable[[], Any]) -> None:
    world = running(make_world, "good-1", "good-2")
    before = {key: list(fleet.slots) for key, fleet in world.fleets.items()}
    world.deploy(1, ("good-2", "good-3"))
    world.settle()
    kept = before.keys() & world.fleets.keys()
    assert len(kept) == 1
    assert all(world.fleets[key].slots == before[key] for key in kept)


def test_other_resources_are_another_fleet_and_other_replicas_are_not() -> None:
    def key(**options: Any) -> str:
        fleet = fleets_of(desired(**options))[0]
        assert fleet is not None
        return fleet.key

    assert key() == key(replicas=3) == key(generation=2) == key(engine=Resources(cpus=4))
    assert key() != key(sidekicks={"v": Resources(cpus=2)})
    assert key().startswith("1-")


def test_a_repeated_deploy_is_a_new_route_and_retries_a_failure() -> None:
    prepared = {("v", None): NATIVE}
    first, again = (known_route(desired(generation=number), prepared).route for number in (1, 2))
    assert first.digest != again.digest
    assert first.digest == known_route(desired(generation=1), prepared).route.digest


def test_validations_and_threads_become_part_of_the_route() -> None:
    check = CheckStep(validations=(Validation(name="large", expression="{}"),))
    pipeline = desired(engine=Resources(cpus=1.5))
    pipeline = DesiredPipeline(
        **{name: getattr(pipeline, name) for name in pipeline.__struct_fields__} | {"steps": (*pipeline.steps, check)}
    )
    route = known_route(pipeline, {("v", None): NATIVE}).route
    assert isinstance(route.steps[0], NativeStep)
    assert route.steps[0].threads == 2
    assert route.steps[1] == ValidationStep(validations=check.validations)


def test_a_failed_offer_is_reported_and_its_workers_end(make_world: Callable[[], Any]) -> None:
    world = running(make_world, "good-1")
    world.deploy(1, ("refused",))
    world.settle()
    assert world.statuses[1].state is DeploymentState.ERROR
    assert world.statuses[1].serving == "v1.1"
    assert [fleet.version.uuid for fleet in world.fleets.values()] == ["good-1"]
    # The table that the gateway keeps for its next start is the one that works.
    assert [route.pipeline_version for route in world.kept] == ["v1.1"]


def test_a_fleet_that_failed_to_start_is_retried_by_the_next_deploy(make_world: Callable[[], Any]) -> None:
    world = make_world()
    world.deploy(1, ("dies",))
    world.settle()
    assert world.statuses[1].state is DeploymentState.ERROR
    assert world.turn().start == ()
    world.deploy(1, ("dies",))
    assert len(world.turn().start) == 1


def test_complete_workers_that_are_not_offered_yet_survive_a_restart(
    make_world: Callable[[], Any],
) -> None:
    world = running(make_world, "good-1")
    world.deploy(1, ("good-2",))
    world.turn()
    world.finish_preparing()
    world.turn()
    world.start_workers()
    before = set(world.fleets)
    world.restart_supervisor()
    world.connect()
    for _ in range(3):
        world.turn()
        world.deliver()
        world.receive_report()
    assert set(world.fleets) == before


def test_an_offer_stays_when_a_worker_is_lost_while_the_gateway_loads_it(make_world: Callable[[], Any]) -> None:
    world = running(make_world, "native-1")
    world.deploy(1, ("good-1",))
    for _ in range(3):
        world.turn()
        world.finish_preparing()
        world.start_workers()
    world.lose_worker(0)
    (route,) = world.turn().table.routes
    assert (route.pipeline_version, route.steps[0].workers) == ("v1.2", ())


def test_an_undeployed_route_that_the_gateway_still_uses_does_not_return(
    make_world: Callable[[], Any],
) -> None:
    world = running(make_world, "good-1")
    world.undeploy(1)
    assert world.turn().table.routes == ()
    world.deploy(1, ("good-2",))
    world.turn()
    assert world.table.routes == ()


def test_what_never_answered_and_never_will_keeps_no_workers(make_world: Callable[[], Any]) -> None:
    world = make_world()
    world.deploy(1, ("refused",))
    world.settle()
    world.deploy(1, ("unprepared",))
    world.settle()
    assert world.fleets == {}
    assert world.table.routes == ()


def test_workers_stay_until_the_last_request_of_their_version_is_answered(make_world: Callable[[], Any]) -> None:
    world = running(make_world, "good-1")
    world.deploy(1, ("good-2",))
    for _ in range(10):
        world.round()
    assert world.statuses[1].serving == "v1.2"
    assert {fleet.version.uuid for fleet in world.fleets.values()} == {"good-1", "good-2"}
    world.settle()
    assert {fleet.version.uuid for fleet in world.fleets.values()} == {"good-2"}


def test_after_a_restart_a_failed_route_is_not_offered_again(
    make_world: Callable[[], Any],
) -> None:
    world = running(make_world, "good-1")
    world.deploy(1, ("native-refused",))
    world.settle()
    status = world.statuses[1]
    assert status.state is DeploymentState.ERROR
    world.restart_supervisor()
    for _ in range(5):
        world.connect()
        made = world.turn()
        assert made.statuses.get(1, status) == status
        assert [route.pipeline_version for route in world.table.routes] == ["v1.1"]
        world.deliver()
        world.receive_report()
    world.finish_preparing()
    world.settle()
    assert [route.pipeline_version for route in world.table.routes] == ["v1.1"]
    assert world.statuses[1] == status


def test_a_route_that_serves_in_the_end_is_not_a_failure(make_world: Callable[[], Any]) -> None:
    world = running(make_world, "good-1")
    (digest,) = world.memory.routes
    world.memory = Memory(routes=world.memory.routes, offered=world.memory.offered, failed={digest: FAULT})
    world.turn()
    world.lose_worker(0)
    assert world.turn().statuses[1].state is DeploymentState.RUNNING


def test_the_gateways_own_file_stands_in_for_a_lost_memory() -> None:
    route = Route(deployment_id=1, pipeline="p", workspace_id=1, pipeline_version="old", digest="x", steps=(NATIVE,))
    state = RouteState(deployment_id=1, offered="x", state="serving", serving="x", serving_version="old", using=("x",))
    observed = Observed(
        report=GatewayReport(gateway="g", number=0, states=(state,)),
        memory=memory_of_table(RouteTable(number=7, routes=(route,))),
    )
    table = plan(DesiredState(running=(desired(),)), observed).table
    assert table is not None
    assert table.routes == (route,)


def test_what_is_remembered_is_what_may_still_be_used(make_world: Callable[[], Any]) -> None:
    world = running(make_world, "good-1")
    for name in ("good-2", "native-1", "good-3"):
        world.deploy(1, (name,))
        world.settle()
    assert len(world.memory.routes) == 1
    world.undeploy(1)
    world.settle()
    assert world.memory == Memory()
