"""For any events in any order: what serves keeps serving, and in the end the desired state is reached."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.domain.deployment import DeploymentState
from trivet.supervisor.desired import DesiredPipeline, Memory

GOOD = ("good-1", "good-2", "good-3", "native-1", "native-2")
BAD = ("unprepared", "dies", "refused", "native-refused")
EXAMPLES = 100
EVENTS = (
    *("turn", "deliver", "receive_report", "connect", "load", "drain", "finish_preparing", "start_workers"),
    *("disconnect", "kill_gateway", "start_gateway", "restart_supervisor"),
)

deployments = st.integers(1, 2)
good_steps = st.lists(st.sampled_from(GOOD), min_size=1, max_size=2).map(tuple)
steps = st.lists(st.sampled_from(GOOD * 2 + BAD), min_size=1, max_size=2).map(tuple)
replicas = st.integers(1, 3)
progress = st.sampled_from(EVENTS[:8]).map(lambda name: (name,))
faults = st.one_of(
    st.sampled_from(EVENTS[8:]).map(lambda name: (name,)),
    st.tuples(st.just("lose_worker"), st.integers(0, 9)),
)
requests = st.one_of(
    st.tuples(st.just("deploy"), deployments, steps, replicas),
    st.tuples(st.just("rescale"), deployments, replicas),
    st.tuples(st.just("undeploy"), deployments),
)
rounds = st.just(("round",))
without_faults = st.one_of(rounds, progress)
with_faults = st.one_of(rounds, rounds, rounds, progress, faults)
# A change of the desired state, then a number of events.
spells = st.tuples(requests, st.lists(with_faults, max_size=12)).map(lambda spell: [spell[0], *spell[1]])
anything = st.lists(spells, min_size=1, max_size=8).map(lambda made: [event for spell in made for event in spell])


def act(world: Any, event: tuple[Any, ...]) -> None:
    match event:
        case ("deploy", deployment_id, versions, count):
            world.deploy(deployment_id, versions, replicas=count)
        case (name, *arguments):
            getattr(world, name)(*arguments)


def serves(world: Any, deployment_id: int) -> str | None:
    """The pipeline version that answers, with workers for each of its steps."""
    served = None if world.gateway is None else world.gateway.deployments.get(deployment_id)
    if served is None or served.serving is None:
        return None
    return str(served.serving.pipeline_version)


@given(events=anything)
@settings(max_examples=EXAMPLES)
def test_no_worker_is_stopped_that_a_request_may_be_sent_to(make_world: Callable[[], Any], events: list[Any]) -> None:
    world = make_world()
    for event in events:
        act(world, event)
    world.settle()
    assert world.stopped_in_use == []


@given(events=anything)
@settings(max_examples=EXAMPLES)
def test_in_the_end_the_desired_state_is_reached(make_world: Callable[[], Any], events: list[Any]) -> None:
    world = make_world()
    for event in events:
        act(world, event)
    world.settle()
    needed = set()
    for deployment_id, desired in world.pipelines.items():
        status = world.statuses[deployment_id]
        assert status.generation == desired.generation
        if not isinstance(desired, DesiredPipeline):
            assert status.state is DeploymentState.STOPPED
            assert deployment_id not in world.gateway.deployments
            continue
        if all(world.versions[step.version].good for step in desired.models):
            assert status.state is DeploymentState.RUNNING
            assert status.serving == serves(world, deployment_id) == desired.pipeline_version
            assert all(worker.status is DeploymentState.RUNNING for worker in status.workers)
            isolated = {step.version for step in desired.models if world.versions[step.version].isolated}
            assert len(status.workers) == len(isolated) * desired.config.replicas
        else:
            assert status.state is DeploymentState.ERROR
            assert status.fault is not None
            assert status.serving == serves(world, deployment_id)
        needed.add(deployment_id)
    assert {int(key.partition("-")[0]) for key in world.fleets} <= needed
    # Every fleet that runs is needed.
    used = {worker.id for served in world.gateway.deployments.values() for worker in workers(served.serving)}
    for key, fleet in world.fleets.items():
        desired = world.pipelines[int(key.partition("-")[0])]
        needed = any(step.version == fleet.version.uuid for step in desired.models)
        assert needed or {slot.id for slot in fleet.slots if slot} <= used


def workers(route: Any) -> list[Any]:
    return [] if route is None else [worker for step in route.steps for worker in getattr(step, "workers", ())]


@given(events=anything)
@settings(max_examples=EXAMPLES)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(make_world: Callable[[], Any], events: list[Any]) -> None:
    world = make_world()
    for event in events:
        act(world, event)
    world.settle()
    memory, statuses = world.memory, dict(world.statuses)
    again = world.turn()
    assert (again.prepare, again.start, again.resize, again.stop, again.table) == ({}, (), {}, (), None)
    assert again.memory == memory == world.turn().memory
    assert {**statuses, **again.statuses} == statuses


@given(first=good_steps, count=replicas, events=anything)
@settings(max_examples=EXAMPLES)
def test_what_serves_goes_on_until_something_else_does(
    make_world: Callable[[], Any], first: tuple[str, ...], count: int, events: list[Any]
) -> None:
    """A deployment that is to run answers from its first answer on, except while the gateway is down."""
    world = make_world()
    world.deploy(1, first, replicas=count)
    world.settle()
    assert serves(world, 1) is not None
    interrupted = False
    for event in events:
        if event[:2] == ("undeploy", 1):
            continue
        act(world, event)
        world.turn()
        interrupted = (interrupted or world.gateway is None) and serves(world, 1) is None
        assert interrupted or serves(world, 1) is not None, event
    world.settle()
    assert serves(world, 1) is not None


@given(
    before=good_steps,
    bad=st.tuples(st.sampled_from(BAD), st.sampled_from(GOOD)).flatmap(st.permutations).map(tuple),
    events=st.lists(with_faults, min_size=5, max_size=40),
)
@settings(max_examples=EXAMPLES)
def test_an_update_that_fails_leaves_what_serves(
    make_world: Callable[[], Any], before: tuple[str, ...], bad: tuple[str, ...], events: list[Any]
) -> None:
    world = make_world()
    world.deploy(1, before)
    world.settle()
    was = serves(world, 1)
    world.deploy(1, bad)
    for event in events:
        act(world, event)
        world.turn()
    world.settle()
    assert serves(world, 1) == was
    assert world.statuses[1].state is DeploymentState.ERROR
    assert world.statuses[1].serving == was
    # And what is deployed next is not in its way.
    world.deploy(1, ("good-3",))
    world.settle()
    assert serves(world, 1) == world.pipelines[1].pipeline_version
    assert world.statuses[1].fault is None


@given(first=good_steps, second=good_steps, events=st.lists(without_faults, min_size=3, max_size=20))
@settings(max_examples=EXAMPLES)
def test_a_lost_memory_disturbs_nothing(
    make_world: Callable[[], Any], first: tuple[str, ...], second: tuple[str, ...], events: list[Any]
) -> None:
    world = make_world()
    world.deploy(1, first)
    world.settle()
    world.deploy(1, second)
    world.restart_supervisor()
    world.memory = Memory()
    for event in events:
        act(world, event)
        world.turn()
        assert serves(world, 1) is not None
    world.settle()
    assert serves(world, 1) == world.pipelines[1].pipeline_version
    assert world.stopped_in_use == []
