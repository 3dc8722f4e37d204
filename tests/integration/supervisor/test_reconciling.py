"""What is wanted becomes so: a real catalog, a real socket, workers without processes."""

import asyncio
from collections.abc import Callable
from typing import Any

from trivet.domain.deployment import DeploymentState
from trivet.errors import Unavailable


def test_a_deploy_starts_workers_and_offers_their_route(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        async with here.gateway.answering(), here.supervised():
            deployment = here.deploy("p", here.model("m"), replicas=2)
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            status = here.status("p")
            assert status.serving == deployment.pipeline_version == here.gateway.serving(deployment.id)
            assert status.generation == deployment.generation
            assert status.gateway == "gateway"
            assert [worker.status for worker in status.workers] == [DeploymentState.RUNNING] * 2
            assert {worker.id for worker in status.workers} == {worker.id for worker in here.launcher.living()}
            await soon(lambda: here.catalog.journal.events()[-1].kind == "running")
            assert here.catalog.journal.events()[-1].subject == "deployment"
        # A stop leaves nothing behind.
        assert here.launcher.living() == []

    asyncio.run(scenario())


def test_an_undeploy_ends_the_workers_when_the_gateway_has_let_go(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        async with here.gateway.answering(), here.supervised():
            deployment = here.deploy("p", here.model("m"))
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            stopped = here.undeploy("p")
            await soon(lambda: here.status("p").state is DeploymentState.STOPPED)
            assert here.status("p").generation == stopped.generation
            assert here.gateway.serving(deployment.id) is None
            assert here.launcher.living() == []

    asyncio.run(scenario())


def test_a_new_version_takes_over_and_old_requests_keep_their_workers(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        async with here.gateway.answering(), here.supervised():
            here.deploy("p", here.model("old"))
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            newer = here.deploy("p", here.model("new"))
            await soon(lambda: here.status("p").serving == newer.pipeline_version)
            await asyncio.sleep(0.2)
            assert len(here.launcher.living("old")) == 1
            here.gateway.drain()
            await soon(lambda: not here.launcher.living("old"))
            assert len(here.launcher.living("new")) == 1

    asyncio.run(scenario())


def test_a_step_that_stays_as_it_is_keeps_its_workers(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        async with here.gateway.answering(), here.supervised():
            same, other = here.model("same"), here.model("other", native=True)
            here.deploy("p", same)
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            before = here.launcher.living()
            newer = here.deploy("p", other, same)
            await soon(lambda: here.status("p").serving == newer.pipeline_version)
            assert here.launcher.living() == before

    asyncio.run(scenario())


def test_replicas_come_and_go_without_a_gap(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        async with here.gateway.answering(), here.supervised():
            model = here.model("m")
            for count in (1, 3, 1):
                deployment = here.deploy("p", model, replicas=count)
                await soon(lambda d=deployment: here.status("p").serving == d.pipeline_version)
                here.gateway.drain()
                await soon(lambda n=count: len(here.launcher.living()) == n)
            first = here.launcher.workers[0]
            assert here.launcher.living() == [first]
        assert all(step.workers for table in here.gateway.tables for route in table.routes for step in route.steps)

    asyncio.run(scenario())


def test_a_version_that_fails_leaves_the_one_that_serves(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        here.launcher.broken.add("dies")
        here.gateway.refused.add("refuses")
        here.unprepared.add("unbuilt")
        async with here.gateway.answering(), here.supervised():
            good = here.deploy("p", here.model("good"))
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            for name in ("dies", "refuses", "unbuilt"):
                bad = here.deploy("p", here.model(name))
                await soon(lambda d=bad: here.status("p").generation == d.generation and here.status("p").fault)
                status = here.status("p")
                assert status.state is DeploymentState.ERROR
                assert status.serving == good.pipeline_version == here.gateway.serving(good.id)
            # What the gateway would find in its file after a restart is what serves.
            assert here.gateway.offered[good.id].pipeline_version == good.pipeline_version
            await soon(lambda: [event.kind for event in here.catalog.journal.events()].count("error") == 3)
            mended = here.deploy("p", here.model("mended"))
            await soon(lambda: here.status("p").serving == mended.pipeline_version)
            here.gateway.drain()
            await soon(lambda: {worker.spec.name for worker in here.launcher.living()} == {"mended"})

    asyncio.run(scenario())


def test_what_could_not_be_started_is_tried_again(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        here.launcher.broken.add("m")
        here.unprepared.add("m")
        async with here.gateway.answering(), here.supervised():
            here.deploy("p", here.model("m"))
            await soon(lambda: here.status("p").state is DeploymentState.ERROR)
            here.unprepared.clear()
            await soon(lambda: here.launcher.tries)
            here.launcher.broken.clear()
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)

    asyncio.run(scenario())


def test_a_worker_that_dies_is_replaced_and_the_gateway_hears_how_it_died(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        async with here.gateway.answering(), here.supervised():
            deployment = here.deploy("p", here.model("m"), replicas=2)
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            victim = here.launcher.living()[0]
            victim.kill()
            await soon(lambda: len(here.launcher.living()) == 2)
            await soon(lambda: victim.id not in str(here.gateway.routes[deployment.id]))
            await soon(lambda: len(here.gateway.routes[deployment.id].steps[0].workers) == 2)
            assert [end.id for end in here.gateway.ended] == [victim.id]
            assert "SIGKILL" in here.gateway.ended[0].ending
            await soon(lambda: [each for each in here.catalog.journal.events() if each.kind == "worker_ended"])
            assert here.status("p").state is DeploymentState.RUNNING

    asyncio.run(scenario())


def test_a_worker_that_the_gateway_asks_to_end_is_ended_and_replaced(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        async with here.gateway.answering():
            async with here.supervised(killed=True):
                here.deploy("p", here.model("m"))
                await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
                (first,) = here.launcher.living()
                here.gateway.door.end_worker(first.address)
                await soon(lambda: [each for each in here.launcher.living() if each.id != first.id])
                (second,) = here.launcher.living()
            # No supervisor is connected: the next one receives the request when it connects.
            here.gateway.to_end.append(second.address)
            assert here.launcher.living() == [second]
            async with here.supervised():
                await soon(lambda: [each for each in here.launcher.living() if each.id != second.id])
                await soon(lambda: second.id in {report.id for report in here.gateway.ended})

    asyncio.run(scenario())


def test_a_worker_that_dies_repeatedly_is_reported_and_others_continue(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        async with here.gateway.answering(), here.supervised():
            here.deploy("p", here.model("m"), replicas=2)
            here.deploy("q", here.model("n"))
            await soon(lambda: here.status("p").state is here.status("q").state is DeploymentState.RUNNING)
            here.launcher.broken.add("m")
            here.launcher.living("m")[0].kill()
            await soon(lambda: any(each.status is DeploymentState.ERROR for each in here.status("p").workers))
            assert here.status("p").state is DeploymentState.RUNNING
            route = here.pipelines["p"]
            assert here.gateway.routes[route].steps[0].stuck is None
            here.launcher.living("m")[0].kill()
            await soon(lambda: here.status("p").state is DeploymentState.ERROR)
            assert "cannot be loaded" in here.status("p").fault.what
            await soon(lambda: here.gateway.routes[route].steps[0].stuck == "the model of m cannot be loaded")
            assert here.status("q").state is DeploymentState.RUNNING
            here.launcher.broken.clear()
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            await soon(lambda: here.gateway.routes[route].steps[0].stuck is None)

    asyncio.run(scenario())


def test_a_worker_that_ends_whenever_it_is_ready_is_not_running(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        async with here.gateway.answering(), here.supervised():
            here.deploy("p", here.model("m"))
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            here.launcher.dying.add("m")
            here.launcher.living("m")[0].kill()
            await soon(lambda: here.status("p").state is DeploymentState.ERROR)
            before = here.status("p").workers[0].restarts
            await soon(lambda: here.status("p").workers[0].restarts > before + 5)
            kinds = [each.kind for each in here.catalog.journal.events() if each.kind in {"running", "error"}]
            assert kinds[-1] == "error"
            assert kinds.count("running") == 1
            worker = here.status("p").workers[0]
            assert "SIGKILL" in worker.last_error
            assert worker.last_error_at is not None
            here.launcher.dying.clear()
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            assert here.status("p").workers[0].restarts >= worker.restarts

    asyncio.run(scenario())


def test_a_new_supervisor_takes_the_workers_of_one_that_was_killed(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        async with here.gateway.answering():
            model = here.model("m")
            async with here.supervised(killed=True):
                here.deploy("p", model, replicas=2)
                here.deploy("q", here.model("n"))
                await soon(lambda: here.status("p").state is here.status("q").state is DeploymentState.RUNNING)
            before = {worker.id for worker in here.launcher.living()}
            served = dict(here.gateway.routes)
            here.undeploy("q")
            async with here.supervised():
                await soon(lambda: here.status("q").state is DeploymentState.STOPPED)
                await soon(lambda: len(here.launcher.living()) == 2)
                assert {worker.id for worker in here.launcher.living()} < before
                assert here.launcher.tries == 3
                # The route is the same one: nothing was loaded again.
                assert list(here.gateway.routes) == [here.pipelines["p"]]
                assert here.gateway.routes[here.pipelines["p"]].digest == served[here.pipelines["p"]].digest
                # And what was adopted is looked after.
                here.launcher.living()[0].kill()
                await soon(lambda: len(here.launcher.living()) == 2)

    asyncio.run(scenario())


def test_a_new_supervisor_goes_on_counting_restarts(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()

        def restarted(times: int) -> bool:
            status = here.status("p")
            return status.state is DeploymentState.RUNNING and [each.restarts for each in status.workers] == [times]

        async with here.gateway.answering():
            async with here.supervised(killed=True):
                here.deploy("p", here.model("m"))
                await soon(lambda: restarted(0))
                here.launcher.living("m")[0].kill()
                await soon(lambda: restarted(1) and here.launcher.living("m"))
            async with here.supervised():
                # Once it runs another pipeline, it also has the workers of this one.
                here.deploy("q", here.model("n"))
                await soon(lambda: here.status("q").state is DeploymentState.RUNNING)
                await soon(lambda: restarted(1) and here.launcher.living("m"))
                here.launcher.living("m")[0].kill()
                await soon(lambda: restarted(2))
                assert "SIGKILL" in here.status("p").workers[0].last_error
                here.undeploy("p")
                await soon(lambda: here.status("p").state is DeploymentState.STOPPED)
                here.deploy("p", here.model("m"))
                await soon(lambda: restarted(0))

    asyncio.run(scenario())


def test_a_failed_update_is_still_one_after_a_restart(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        here.gateway.refused.add("refuses")
        async with here.gateway.answering():
            async with here.supervised(killed=True):
                good = here.deploy("p", here.model("good"))
                await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
                here.deploy("p", here.model("refuses"))
                await soon(lambda: here.status("p").state is DeploymentState.ERROR)
                tables = len(here.gateway.tables)
            # The workers go, too: as after a restart of the machine.
            for worker in here.launcher.living():
                worker.ended.set()
            async with here.supervised():
                await soon(lambda: len(here.launcher.living("good")) == 1)
                await soon(lambda: here.gateway.routes[good.id].steps[0].workers)
                assert here.gateway.serving(good.id) == good.pipeline_version
                assert here.status("p").state is DeploymentState.ERROR
                offers = [route.pipeline_version for table in here.gateway.tables[tables:] for route in table.routes]
                assert set(offers) == {good.pipeline_version}

    asyncio.run(scenario())


def test_a_gateway_that_comes_back_receives_all_routes(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        async with here.supervised():
            deployment = here.deploy("p", here.model("m"))
            await soon(here.launcher.living)
            async with here.gateway.answering():
                await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            here.undeploy("p")
            await asyncio.sleep(0.3)
            # It is unknown what it serves: no worker is ended.
            assert len(here.launcher.living()) == 1
            async with here.gateway.answering():
                await soon(lambda: here.gateway.serving(deployment.id) is None)
                await soon(lambda: not here.launcher.living())

    asyncio.run(scenario())


class AwayCatalog:
    """A catalog that can be out of reach."""

    def __init__(self, catalog: Any) -> None:
        self.catalog = catalog
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        if self.broken:
            raise Unavailable("the catalog cannot be reached")
        return getattr(self.catalog, name)


def test_without_the_catalog_workers_are_still_looked_after(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        here = place()
        records = AwayCatalog(here.catalog)
        async with here.gateway.answering(), here.supervised(records=records):
            deployment = here.deploy("p", here.model("m"))
            await soon(lambda: here.status("p").state is DeploymentState.RUNNING)
            records.broken = True
            newer = here.deploy("p", here.model("n"))
            victim = here.launcher.living()[0]
            victim.kill()
            await soon(lambda: len(here.launcher.living()) == 1)
            await soon(lambda: here.gateway.routes[deployment.id].steps[0].workers)
            assert here.gateway.serving(deployment.id) == deployment.pipeline_version
            records.broken = False
            await soon(lambda: here.status("p").serving == newer.pipeline_version)

    asyncio.run(scenario())
