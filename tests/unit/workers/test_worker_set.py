"""Keeping workers running, on a launcher whose workers are no processes."""

import asyncio
from dataclasses import replace

import pyarrow as pa
import pytest

from trivet.domain.deployment import Resources
from trivet.domain.digest import digest_of_bytes
from trivet.errors import ModelFailed, Unavailable
from trivet.workers import WorkerSpec
from trivet.workers.backoff import BackoffPolicy
from trivet.workers.worker_set import Failed, Pausing, Ready, Stopped, WorkerSet
from trivet_tests.in_process_launcher import InProcessLauncher, InProcessWorkers

QUICK = BackoffPolicy(first_s=0.001, most_s=0.002, give_up_after=3)
NUMBERS = pa.schema([pa.field("x", pa.int64())])
SPEC = WorkerSpec(
    name="m",
    package=digest_of_bytes(b"a package"),
    environment=digest_of_bytes(b"an environment"),
    adapter="custom",
    entry={},
    input_schema=NUMBERS,
    output_schema=NUMBERS,
)


def watching(there, *, count=1, policy=QUICK, gpus=0, **said):
    ready, gone = [], []
    return (
        WorkerSet(
            InProcessLauncher(there),
            replace(SPEC, resources=Resources(gpus=gpus)),
            count=count,
            on_ready=ready.append,
            on_gone=gone.append,
            policy=policy,
            **said,
        ),
        ready,
        gone,
    )


def living(there):
    return [state for state in there.states.values() if not state.ended.is_set()]


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def test_all_are_ready_and_all_are_ended():
    async def main():
        there = InProcessWorkers()
        workers, ready, gone = watching(there, count=3)
        async with workers:
            await until(lambda: workers.ready == 3)
            assert [worker.address.id for worker in ready] == list(there.states)
            assert gone == []
        assert sorted(gone, key=id) == sorted(ready, key=id)
        assert workers.states == (Stopped(),) * 3
        assert living(there) == []

    asyncio.run(main())


def test_one_that_ends_is_replaced():
    async def main():
        workers, ready, gone = watching(InProcessWorkers())
        async with workers:
            await until(lambda: workers.ready == 1)
            ready[0].kill()
            await until(lambda: len(ready) == 2)
            assert gone == ready[:1]
            assert workers.states == (Ready(ready[1]),)

    asyncio.run(main())


def test_while_it_pauses_the_state_says_why():
    async def main():
        workers, ready, _ = watching(InProcessWorkers(), policy=BackoffPolicy(first_s=1000, most_s=1000))
        async with workers:
            await until(lambda: workers.ready == 1)
            ready[0].die("exit code 1")
            await until(lambda: workers.ready == 0)
            (state,) = workers.states
            assert isinstance(state, Pausing)
            assert isinstance(state.error, Unavailable)
            assert state.error.message == "the worker of m died: exit code 1; its log ends with\n"
            assert state.delay_s == 1000

    asyncio.run(main())


def test_one_that_fails_to_start_again_and_again_is_given_up():
    async def main():
        there = InProcessWorkers()
        workers, ready, _ = watching(there)
        async with workers:
            await until(lambda: workers.ready == 1)
            there.failing.add("m")
            ready[0].kill()
            await until(lambda: isinstance(workers.states[0], Failed))
            assert there.tries == 4

    asyncio.run(main())


def test_it_is_stuck_while_every_worker_keeps_failing_to_start():
    async def main():
        there = InProcessWorkers()
        policy = BackoffPolicy(first_s=0.001, most_s=0.002, give_up_after=10**6)
        workers, ready, _ = watching(there, count=2, policy=policy)
        async with workers:
            await until(lambda: workers.ready == 2)
            assert workers.stuck is None
            there.failing.add("m")
            ready[0].kill()
            await until(lambda: there.tries > 2 + 2 * policy.stuck_after)
            assert workers.stuck is None  # the other one answers
            ready[1].kill()
            await until(lambda: workers.stuck is not None)
            assert isinstance(workers.stuck, ModelFailed)
            there.failing.clear()
            await until(lambda: workers.ready)
            assert workers.stuck is None

    asyncio.run(main())


def test_a_failed_first_start_is_reported_and_leaves_no_worker():
    async def main():
        there = InProcessWorkers()
        there.failing_after = 1
        workers, ready, _ = watching(there, count=2)
        with pytest.raises(ModelFailed, match="the model of m cannot be loaded"):
            await workers.start()
        assert ready == []
        assert len(there.states) == 1
        assert living(there) == []

    asyncio.run(main())


def test_each_worker_has_devices_of_its_own_and_leaves_them_to_the_next():
    async def main():
        workers, ready, _ = watching(InProcessWorkers(), count=2, gpus=2, devices=("0", "1", "2", "3"))
        async with workers:
            await until(lambda: workers.ready == 2)
            assert sorted(worker.devices for worker in ready) == [("0", "1"), ("2", "3")]
            ready[0].kill()
            await until(lambda: len(ready) == 3)
            assert ready[2].devices == ready[0].devices
            assert workers.devices == ("0", "1", "2", "3")

    asyncio.run(main())


def test_adopted_workers_keep_their_devices_when_others_are_added():
    async def main():
        there = InProcessWorkers()
        adopted = await InProcessLauncher(there).start(replace(SPEC, devices=("1",)))
        workers, ready, _ = watching(there, count=2, gpus=1, devices=("0", "1"), adopted=[adopted])
        async with workers:
            await until(lambda: workers.ready == 2)
            workers.resize(3, ("0", "1", "5"))
            await until(lambda: workers.ready == 3)
            assert [worker.devices for worker in ready] == [("1",), ("0",), ("5",)]

    asyncio.run(main())


def test_devices_of_a_worker_that_leaves_are_held_until_it_has_ended():
    async def main():
        workers, _, _ = watching(InProcessWorkers(), count=2, gpus=1, devices=("0", "1"))
        async with workers:
            await until(lambda: workers.ready == 2)
            workers.resize(1)
            assert workers.devices == ("0",)
            assert workers.leaving_devices == ("1",)
            await until(lambda: workers.leaving_devices == ())

    asyncio.run(main())
