"""Keeping workers running, on a launcher whose workers are no processes."""

import asyncio

import pytest

from trivet.errors import ModelFailed, Unavailable
from trivet.workers.backoff import BackoffPolicy
from trivet.workers.worker_set import Failed, Pausing, Ready, Stopped, WorkerSet

QUICK = BackoffPolicy(first_s=0.001, most_s=0.002, give_up_after=3)


class FakeWorker:
    def __init__(self, number):
        self.pid = number
        self.address = f"fake://{number}"
        self.ended = asyncio.Event()

    def kill(self):
        self.ended.set()

    async def stop(self, grace_s):
        self.ended.set()

    async def wait(self):
        await self.ended.wait()
        return f"exit code {self.pid}"


class FakeLauncher:
    """Starts workers until told that they fail."""

    def __init__(self, *, failing_after=10**6):
        self.started = []
        self.tries = 0
        self.failing_after = failing_after

    async def start(self, spec):
        await asyncio.sleep(0)
        self.tries += 1
        if self.tries > self.failing_after:
            raise ModelFailed("no luck", reason="load_failed")
        self.started.append(FakeWorker(self.tries))
        return self.started[-1]


class Spec:
    name = "m"


def watching(launcher, *, count=1, policy=QUICK):
    ready, gone = [], []
    return (
        WorkerSet(launcher, Spec(), count=count, on_ready=ready.append, on_gone=gone.append, policy=policy),
        ready,
        gone,
    )


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def test_all_are_ready_and_all_are_ended():
    async def main():
        launcher = FakeLauncher()
        workers, ready, gone = watching(launcher, count=3)
        async with workers:
            await until(lambda: workers.ready == 3)
            assert ready == launcher.started
            assert gone == []
        assert sorted(gone, key=id) == sorted(ready, key=id)
        assert workers.states == (Stopped(),) * 3
        assert all(worker.ended.is_set() for worker in launcher.started)

    asyncio.run(main())


def test_one_that_ends_is_replaced():
    async def main():
        launcher = FakeLauncher()
        workers, ready, gone = watching(launcher)
        async with workers:
            await until(lambda: workers.ready == 1)
            launcher.started[0].kill()
            await until(lambda: len(ready) == 2)
            assert gone == [launcher.started[0]]
            assert workers.states == (Ready(launcher.started[1]),)

    asyncio.run(main())


def test_while_it_pauses_the_state_says_why():
    async def main():
        launcher = FakeLauncher()
        workers, _, _ = watching(launcher, policy=BackoffPolicy(first_s=1000, most_s=1000))
        async with workers:
            await until(lambda: workers.ready == 1)
            launcher.started[0].kill()
            await until(lambda: workers.ready == 0)
            (state,) = workers.states
            assert isinstance(state, Pausing)
            assert isinstance(state.error, Unavailable)
            assert state.error.message == "the worker of m died: exit code 1"
            assert state.delay_s == 1000

    asyncio.run(main())


def test_one_that_fails_to_start_again_and_again_is_given_up():
    async def main():
        launcher = FakeLauncher(failing_after=1)
        workers, _, _ = watching(launcher)
        async with workers:
            await until(lambda: workers.ready == 1)
            launcher.started[0].kill()
            await until(lambda: isinstance(workers.states[0], Failed))
            assert launcher.tries == 4

    asyncio.run(main())


def test_a_failed_first_start_is_reported_and_leaves_no_worker():
    async def main():
        launcher = FakeLauncher(failing_after=1)
        workers, ready, _ = watching(launcher, count=2)
        with pytest.raises(ModelFailed, match="no luck"):
            await workers.start()
        assert ready == []
        assert all(worker.ended.is_set() for worker in launcher.started)

    asyncio.run(main())
