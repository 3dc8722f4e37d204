"""What is wanted becomes what is served: versions take each other's place, failures leave what serves, and what goes is drained."""

import asyncio
import json

import msgspec

from trivet.domain.memory_bounds import MemoryBounds
from trivet.domain.routes import WorkerEnded

TIMES = "def process_data(input_data):\n    return {{'y': input_data['x'] * {factor}}}\n"
SLOW = """
    import time
    def process_data(input_data):
        time.sleep(0.6)
        return {'y': input_data['x'] * 7}
"""
DEADLY = """
    import os
    def process_data(input_data):
        if input_data['x'][0] == 13:
            os._exit(3)
        return {'y': input_data['x'] * 5}
"""


async def test_a_table_is_served_and_readiness_waits_for_it(stand, offers):
    async with stand() as here:
        assert await here.get("/readyz") == (503, {"status": "starting"})
        route = offers.route(offers.times(2))
        here.routing.take(offers.table(1, route))
        assert here.state().state == "loading"
        status, error = await here.ask(1)
        assert (status, error["error"]) == (503, "pipeline p is starting")
        await here.routing.settled()
        await here.serves(route)
        status, row = await here.ask(21)
        assert (status, row["out"]) == (200, {"y": 42})
        assert row["metadata"]["pipeline_version"] == "version of model-version-2"
        assert (await here.get("/readyz"))[0] == 200
        assert here.state().serving_version == "version of model-version-2"


async def test_an_empty_table_is_ready_at_once(stand, offers):
    async with stand() as here:
        here.routing.take(offers.table(1))
        await here.routing.settled()
        assert await here.get("/readyz") == (200, {"status": "ready"})


async def test_a_route_of_an_earlier_release_is_examined_before_it_is_loaded(stand, offers):
    async with stand() as here:
        fine, divides = (
            offers.route(step, pipeline=name, deployment_id=number)
            for number, (name, step) in enumerate(
                (("fine", offers.times(2)), ("divides", offers.times(6, divides=True))), start=1
            )
        )
        here.routing.take(offers.table(1, fine, divides))
        await here.routing.settled()
        await here.serves(fine)
        assert here.state(2).fault.reason == "not_harmless"
        status, error = await here.ask(1, path="/pipelines/divides/infer")
        why = "the operator Div divides whole numbers by what rows decide, or by 0 or -1"
        said = f"pipeline divides cannot answer: times may not run in the gateway's process: {why}"
        assert (status, error["error"]) == (503, said)


async def test_versions_take_each_others_place_under_load_and_no_request_is_lost(stand, offers):
    async with stand() as here:
        factors = list(range(2, 14))
        here.routing.take(offers.table(1, offers.route(offers.times(2))))
        await here.routing.settled()
        stop = False
        seen = []

        async def client():
            while not stop:
                status, row = await here.ask(1)
                assert status == 200, row
                # The version that it names is the one that computed it.
                assert row["metadata"]["pipeline_version"] == f"version of model-version-{row['out']['y']}"
                seen.append(row["out"]["y"])

        clients = [asyncio.create_task(client()) for _ in range(8)]
        for number, factor in enumerate(factors, start=2):
            route = offers.route(offers.times(factor))
            here.routing.take(offers.table(number, route))
            await here.serves(route)
            await asyncio.sleep(0.02)
        stop = True
        await asyncio.gather(*clients)
        assert seen[0] == 2
        assert set(seen) == set(factors)
        assert len(here.loader.natives._shared) == 1  # those that were replaced are gone


async def test_a_request_never_goes_back_to_an_older_version(stand, offers):
    async with stand() as here:
        here.routing.take(offers.table(1, offers.route(offers.times(2))))
        await here.routing.settled()
        answers = []

        async def client():
            for _ in range(300):
                _, row = await here.ask(1)
                answers.append(row["out"]["y"])

        asking = asyncio.create_task(client())
        for number, factor in enumerate(range(3, 9), start=2):
            route = offers.route(offers.times(factor))
            here.routing.take(offers.table(number, route))
            await here.serves(route)
        await asking
        assert answers == sorted(answers)


async def test_an_offer_that_fails_leaves_what_serves(stand, offers, tmp_path):
    async with stand() as here:
        good = offers.route(offers.times(2))
        here.routing.take(offers.table(1, good))
        await here.serves(good)
        (tmp_path / "broken.onnx").write_bytes(b"no model")
        broken = offers.route(offers.times(3, path=str(tmp_path / "broken.onnx"), bounds=MemoryBounds()))
        here.routing.take(offers.table(2, broken))
        await here.until(lambda: here.state().state == "failed")
        state = here.state()
        assert (state.offered, state.serving, state.using) == (broken.digest, good.digest, (good.digest,))
        assert "ONNX Runtime" in state.fault.what
        assert (await here.ask(1))[1]["out"] == {"y": 2}
        assert (await here.get("/readyz"))[0] == 200
        # Said again, it is not tried again; something else is.
        here.routing.take(offers.table(3, broken))
        assert here.state().state == "failed"
        newer = offers.route(offers.times(4))
        here.routing.take(offers.table(4, newer))
        await here.serves(newer)
        assert here.state().fault is None


async def test_the_version_that_serves_may_be_offered_again_after_a_failure(stand, offers):
    async with stand() as here:
        good = offers.route(offers.times(2))
        missing = offers.route(msgspec.structs.replace(offers.times(3), path="/nowhere/model.onnx"))
        here.routing.take(offers.table(1, good))
        await here.serves(good)
        here.routing.take(offers.table(2, missing))
        await here.until(lambda: here.state().state == "failed")
        assert "/nowhere/model.onnx" in here.state().fault.why
        here.routing.take(offers.table(3, good))
        await here.serves(good)


async def test_a_first_offer_that_fails_says_why_where_it_would_answer(stand, offers):
    async with stand() as here:
        missing = offers.route(msgspec.structs.replace(offers.times(3), path="/nowhere/model.onnx"))
        sound = offers.route(offers.times(2), pipeline="sound", deployment_id=2)
        here.routing.take(offers.table(1, missing, sound))
        await here.routing.settled()
        status, error = await here.ask(1)
        assert status == 503
        assert error["error"].startswith("pipeline p cannot answer: the model file of times cannot be read")
        assert (await here.ask(1, path="/pipelines/sound/infer"))[0] == 200
        # It never served: others are not taken for not ready on its account.
        assert (await here.get("/readyz"))[0] == 200


async def test_of_two_offers_in_a_row_the_newer_one_counts(stand, offers):
    async with stand() as here:
        here.routing.take(offers.table(1, offers.route(offers.times(2))))
        newer = offers.route(offers.times(3))
        here.routing.take(offers.table(2, newer))
        await here.serves(newer)
        assert (await here.ask(1))[1]["out"] == {"y": 3}
        await here.until(lambda: len(here.loader.natives._shared) == 1)


async def test_what_leaves_the_table_leaves_the_gateway(stand, offers):
    async with stand() as here:
        one, two = offers.route(offers.times(2)), offers.route(offers.times(3), pipeline="q", deployment_id=2)
        here.routing.take(offers.table(1, one, two))
        await here.serves(one)
        await here.serves(two)
        here.routing.take(offers.table(2, two))
        assert (await here.ask(1))[0] == 404
        await here.until(lambda: here.state(1) is None)
        assert (await here.ask(1, path="/pipelines/q/infer"))[1]["out"] == {"y": 3}
        assert len(here.loader.natives._shared) == 1


async def test_pipelines_of_one_version_share_its_session(stand, offers):
    async with stand() as here:
        routes = [offers.route(offers.times(2), pipeline=f"p{number}", deployment_id=number) for number in range(1, 21)]
        here.routing.take(offers.table(1, *routes))
        for route in routes:
            await here.serves(route)
        assert len(here.loader.natives._shared) == 1
        for number in range(1, 21):
            assert (await here.ask(4, path=f"/pipelines/p{number}/infer"))[1]["out"] == {"y": 8}
        here.routing.take(offers.table(2, routes[0]))
        await here.until(lambda: len(here.routing.states()) == 1)
        assert (await here.ask(4, path="/pipelines/p1/infer"))[1]["out"] == {"y": 8}


async def test_two_workspaces_may_use_one_name(stand, offers):
    async with stand() as here:
        routes = [offers.route(offers.times(n + 1), deployment_id=n, workspace_id=n) for n in (1, 2)]
        here.routing.take(offers.table(1, *routes))
        for route in routes:
            await here.serves(route)
        status, error = await here.ask(1)
        assert status == 409
        assert "/v1/api/pipelines/infer/p-2/p" in error["fix"]
        assert (await here.ask(1, path="/v1/api/pipelines/infer/p-1/p"))[1]["out"] == {"y": 2}
        assert (await here.ask(1, path="/v1/api/pipelines/infer/p-2/p"))[1]["out"] == {"y": 3}


async def test_workers_come_and_go_without_another_route(stand, offers, workers, isolated):
    async with stand() as here:
        one, first = await workers.start(TIMES.format(factor=5))
        two, second = await workers.start(TIMES.format(factor=5))
        try:
            route = offers.route(isolated(first))
            here.routing.take(offers.table(1, route))
            await here.serves(route)
            assert (await here.ask(2))[1]["out"] == {"y": 10}
            both = offers.route(isolated(first, second))
            assert both.digest == route.digest
            here.routing.take(offers.table(2, both))
            here.routing.take(offers.table(3, offers.route(isolated(second))))
            await one.stop(5)
            for _ in range(20):
                assert (await here.ask(2))[1]["out"] == {"y": 10}
            assert here.state().state == "serving"
        finally:
            await one.stop(0)
            await two.stop(0)


async def test_requests_held_by_a_worker_that_ends_get_the_reason(stand, offers, workers, isolated):
    async with stand() as here:
        one, first = await workers.start(DEADLY)
        two, second = await workers.start(DEADLY)
        try:
            route = offers.route(isolated(first))
            here.routing.take(offers.table(1, route))
            await here.serves(route)
            asking = asyncio.create_task(here.ask(13))
            await one.wait()
            here.routing.worker_ended(WorkerEnded(id=first.id, ending="exit code 3; its log is empty"))
            status, error = await asking
            assert (status, error["reason"]) == (503, "worker_died")
            assert "exit code 3" in error["error"]
            assert here.pipelines.metrics.of("p", workspace_id=1).worker_exits == 1
            # The route stays, and the next worker makes it answer again.
            waiting = asyncio.create_task(here.ask(2))
            here.routing.take(offers.table(2, offers.route(isolated(second))))
            assert (await waiting)[1]["out"] == {"y": 10}
            assert here.state().serving == route.digest
        finally:
            await one.stop(0)
            await two.stop(0)


async def test_without_the_supervisor_the_end_is_reported_as_far_as_known(stand, offers, workers, isolated):
    async with stand() as here:
        one, first = await workers.start(DEADLY)
        try:
            route = offers.route(isolated(first))
            here.routing.take(offers.table(1, route))
            await here.serves(route)
            status, error = await here.ask(13)
            assert (status, error["reason"]) == (503, "worker_died")
            assert "its process ended" in error["error"]
            assert (await here.get("/readyz"))[0] == 503
        finally:
            await one.stop(0)


SLEEPS = "import time\ndef process_data(d):\n    time.sleep(d['x'][0])\n    return {'y': d['x']}\n"


async def test_a_call_beyond_its_deadline_has_the_supervisor_end_the_worker(stand, offers, workers, isolated):
    async with stand() as here:
        one, first = await workers.start(SLEEPS)
        asked = asyncio.Queue()
        here.loader.workers.on_end = asked.put_nowait
        try:
            route = offers.route(isolated(first, timeout_s=0.5))
            here.routing.take(offers.table(1, route))
            await here.serves(route)
            status, _ = await here.ask(30)
            assert status == 504
            assert await asyncio.wait_for(asked.get(), 5) == first
            assert await workers.launcher.lives(first)
            await workers.launcher.end(first)
            assert not await workers.launcher.lives(first)
        finally:
            await one.stop(0)


async def test_a_worker_to_end_is_kept_until_it_has_ended_or_left_the_table(stand, offers, workers, isolated):
    async with stand() as here:
        one, first = await workers.start(SLEEPS)
        try:
            route = offers.route(isolated(first, timeout_s=0.5))
            here.routing.take(offers.table(1, route))
            await here.serves(route)
            assert (await here.ask(30))[0] == 504
            here.routing.take(offers.table(2, route))
            assert here.loader.workers.to_end == (first,)
            here.routing.worker_ended(WorkerEnded(id=first.id, ending="ended by Trivet"))
            assert here.loader.workers.to_end == ()
            here.loader.workers.at(msgspec.structs.replace(first, id="another")).kill()
            here.routing.take(offers.table(3, offers.route(isolated())))
            assert here.loader.workers.to_end == ()
        finally:
            await one.stop(0)


async def test_a_hanging_worker_that_is_not_ended_works_again_once_it_answers(stand, offers, workers, isolated):
    async with stand() as here:
        one, first = await workers.start(SLEEPS)
        try:
            route = offers.route(isolated(first, timeout_s=0.5))
            here.routing.take(offers.table(1, route))
            await here.serves(route)
            assert (await here.ask(1))[0] == 504
            await asyncio.sleep(0.7)
            assert (await here.ask(0))[0] == 200
        finally:
            await one.stop(0)


async def test_requests_held_by_a_worker_are_answered_after_a_replacement(stand, offers, workers, isolated):
    async with stand() as here:
        one, first = await workers.start(SLOW)
        try:
            old = offers.route(isolated(first))
            here.routing.take(offers.table(1, old))
            await here.serves(old)
            slow = [asyncio.create_task(here.ask(1)) for _ in range(3)]
            await asyncio.sleep(0.1)
            new = offers.route(offers.times(2))
            here.routing.take(offers.table(2, new))
            await here.until(lambda: here.state().serving == new.digest)
            # Its workers are needed until the last answer.
            assert set(here.state().using) == {old.digest, new.digest}
            assert (await here.ask(1))[1]["out"] == {"y": 2}
            assert [(await each)[1]["out"] for each in slow] == [{"y": 7}] * 3
            await here.serves(new)
        finally:
            await one.stop(0)


async def _waiting_for_a_dead_worker(here, offers, workers, isolated, count):
    """A version whose only worker has ended, and requests that wait for the next one."""
    one, first = await workers.start(DEADLY)
    here.routing.take(offers.table(1, offers.route(isolated(first))))
    await here.routing.settled()
    await here.ask(13)
    await one.wait()
    await one.stop(0)
    waiting = [asyncio.create_task(here.ask(2)) for _ in range(count)]
    live = here.pipelines.at(here.pipelines.places[0])
    await here.until(lambda: live.pipeline.runner.waiting == count)
    return waiting


async def test_requests_for_a_dead_worker_move_to_the_new_version(stand, offers, workers, isolated):
    async with stand() as here:
        waiting = await _waiting_for_a_dead_worker(here, offers, workers, isolated, 3)
        new = offers.route(offers.times(3))
        here.routing.take(offers.table(2, new))
        answers = await asyncio.wait_for(asyncio.gather(*waiting), 10)
        assert [(status, row["out"]) for status, row in answers] == [(200, {"y": 6})] * 3
        assert answers[0][1]["metadata"]["pipeline_version"] == new.pipeline_version
        # Each is counted once.
        assert here.pipelines.metrics.of("p", workspace_id=1).outcomes[None] == 3
        await here.serves(new)


async def test_a_worker_that_cannot_be_started_again_is_not_the_fault_of_callers(stand, offers, workers, isolated):
    async with stand() as here:
        (waiting,) = await _waiting_for_a_dead_worker(here, offers, workers, isolated, 1)
        stuck = offers.route(isolated(stuck="a module of m fails on import: OSError: in use"))
        here.routing.take(offers.table(2, stuck))
        for status, error in (await asyncio.wait_for(waiting, 10), await here.ask(2)):
            assert (status, error["reason"]) == (503, "worker_failed")
            message = "no worker of the model can be started: a module of m fails on import: OSError: in use"
            assert error["error"] == message
        another, address = await workers.start(DEADLY)
        try:
            here.routing.take(offers.table(3, offers.route(isolated(address))))
            assert (await here.ask(2))[0] == 200
            assert here.state().serving == stuck.digest
        finally:
            await another.stop(0)


async def test_a_request_for_a_dead_worker_of_a_removed_pipeline_is_refused(stand, offers, workers, isolated):
    async with stand() as here:
        (waiting,) = await _waiting_for_a_dead_worker(here, offers, workers, isolated, 1)
        here.routing.take(offers.table(2))
        status, error = await asyncio.wait_for(waiting, 10)
        assert status == 404
        assert "the pipeline was undeployed before the request reached its model" in error["error"]


async def test_an_offer_whose_worker_is_dead_already_fails_until_another_comes(stand, offers, workers, isolated):
    async with stand() as here:
        one, first = await workers.start(TIMES.format(factor=5))
        await one.stop(0)
        here.routing.take(offers.table(1, offers.route(isolated(first))))
        await here.routing.settled()
        assert (here.state().state, here.state().fault.reason) == ("failed", "worker_died")
        two, second = await workers.start(TIMES.format(factor=5))
        try:
            route = offers.route(isolated(second))
            here.routing.take(offers.table(2, route))
            await here.serves(route)
            assert (await here.ask(2))[1]["out"] == {"y": 10}
        finally:
            await two.stop(0)


async def test_steps_hand_over_by_name(stand, offers, workers, isolated):
    async with stand() as here:
        one, first = await workers.start(TIMES.format(factor=5))
        try:
            doubled = offers.times(2, name="doubled", takes="y", gives="z")
            route = offers.route(isolated(first), doubled)
            here.routing.take(offers.table(1, route))
            await here.serves(route)
            _, row = await here.ask(3)
            assert (row["in"], row["out"]) == ({"x": 3}, {"z": 30})
            assert json.loads(row["metadata"]["last_model"])["model_name"] == "doubled"
            models = (await here.get("/models"))[1]["models"]
            assert [(model["name"], model["runtime"]) for model in models] == [
                ("step", "isolated"),
                ("doubled", "native"),
            ]
            natives = offers.route(offers.times(3), doubled, pipeline="q", deployment_id=2)
            here.routing.take(offers.table(2, route, natives))
            await here.serves(natives)
            assert (await here.ask(3, path="/pipelines/q/infer"))[1]["out"] == {"z": 18}
        finally:
            await one.stop(0)


async def test_steps_that_do_not_fit_are_refused_and_named(stand, offers):
    async with stand() as here:
        route = offers.route(offers.times(2, name="one"), offers.times(3, name="two"))
        here.routing.take(offers.table(1, route))
        await here.routing.settled()
        fault = here.state().fault
        assert fault.what == "step 'two' cannot follow step 'one'"
        assert fault.why == "column 'x' is not among what 'one' answers: y"
