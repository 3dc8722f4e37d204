"""GPUs are given to workers: each has its own, and what is missing is said."""

import asyncio
from collections.abc import Callable
from typing import Any

from trivet.domain.deployment import DeploymentState


def given(here: Any) -> list[tuple[str, ...]]:
    """The devices of the workers that live."""
    return sorted(worker.devices for worker in here.launcher.living())


def test_each_worker_has_gpus_of_its_own(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        here.devices = ("0", "1", "2")
        async with here.gateway.answering(), here.supervised():
            here.deploy("p", here.model("m"), replicas=2, gpus=1)
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            here.deploy("q", here.model("n"), gpus=1)
            here.deploy("r", here.model("o"))
            await soon(lambda: here.status("q").state is here.status("r").state is DeploymentState.RUNNING)
            assert given(here) == [(), ("0",), ("1",), ("2",)]
            lost = here.launcher.living("m")[1].devices
            here.launcher.living("m")[1].kill()
            await soon(lambda: len(here.launcher.living("m")) == 2)
            assert here.launcher.workers[-1].devices == lost

    asyncio.run(scenario())


def test_a_fleet_waits_with_a_reason_until_gpus_are_free(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        here.devices = ("0", "1")
        async with here.gateway.answering(), here.supervised():
            here.deploy("p", here.model("m"), gpus=1)
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            here.deploy("q", here.model("n"), gpus=2)
            await soon(lambda: here.status("q").state is DeploymentState.ERROR)
            fault = here.status("q").fault
            assert fault.what == "there are not enough free GPUs for n"
            assert fault.why == "its worker needs 2; the machine has 2, and other workers use the rest"
            (worker,) = here.status("q").workers
            assert worker.status is DeploymentState.ERROR
            assert worker.reason == f"{fault.what}: {fault.why}"
            assert here.launcher.tries == 1
            here.undeploy("p")
            await soon(lambda: here.status("q").state is DeploymentState.RUNNING)
            assert given(here) == [("0", "1")]

    asyncio.run(scenario())


def test_a_version_that_needs_the_gpu_of_the_old_one_leaves_it_serving(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        here.devices = ("0",)
        async with here.gateway.answering(), here.supervised():
            first = here.deploy("p", here.model("old"), gpus=1)
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            newer = here.deploy("p", here.model("new"), gpus=1)
            await soon(lambda: here.status("p").state is DeploymentState.ERROR)
            assert here.status("p").fault.reason == "no_device"
            assert here.status("p").serving == first.pipeline_version
            assert given(here) == [("0",)]
            here.undeploy("p")
            await soon(lambda: here.status("p").state is DeploymentState.STOPPED)
            here.deploy("p", here.model("new"), gpus=1)
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            assert here.status("p").serving != newer.pipeline_version

    asyncio.run(scenario())


def test_replicas_grow_as_far_as_gpus_go_and_give_them_back(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        here.devices = ("0", "1")
        async with here.gateway.answering(), here.supervised():
            model = here.model("m")
            first = here.deploy("p", model, replicas=1, gpus=1)
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            here.deploy("p", model, replicas=3, gpus=1)
            await soon(lambda: here.status("p").state is DeploymentState.ERROR)
            assert here.status("p").serving == first.pipeline_version
            assert given(here) == [("0",)]
            here.deploy("p", model, replicas=2, gpus=1)
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            assert given(here) == [("0",), ("1",)]
            last = here.deploy("p", model, replicas=1, gpus=1)
            here.deploy("q", here.model("n"), gpus=1)
            await soon(lambda: here.status("p").serving == last.pipeline_version)
            here.gateway.drain()
            await soon(lambda: len(here.launcher.living("m")) == 1)
            await soon(lambda: here.status("q").state is DeploymentState.RUNNING)
            assert given(here) == [("0",), ("1",)]

    asyncio.run(scenario())


def test_adopted_workers_keep_their_gpus(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        here.devices = ("0", "1", "2")
        async with here.gateway.answering():
            model = here.model("m")
            async with here.supervised(killed=True):
                here.deploy("p", model, replicas=2, gpus=1)
                await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            async with here.supervised():
                here.deploy("q", here.model("n"), gpus=1)
                await soon(lambda: here.status("q").state is DeploymentState.RUNNING)
                assert [worker.devices for worker in here.launcher.living("n")] == [("2",)]
                first = here.launcher.living("m")[0]
                first.kill()
                await soon(lambda: len(here.launcher.living("m")) == 2)
                assert given(here) == [("0",), ("1",), ("2",)]

    asyncio.run(scenario())
