"""Routes with validations, and routes whose requests wait for one another."""

import asyncio

import msgspec
import polars as pl

from trivet.domain.pipeline import Validation
from trivet.domain.routes import ValidationStep

ROWS_OF_A_CALL = "def process_data(input_data):\n    return {'y': input_data['x'] * 0 + len(input_data['x'])}\n"


def checked(route, **conditions):
    """The route with a step of validations at its end."""
    validations = [
        Validation(name=name, expression=condition.meta.serialize(format="json"))
        for name, condition in conditions.items()
    ]
    step = ValidationStep(validations=tuple(validations))
    return msgspec.structs.replace(route, digest=f"{route.digest} {sorted(conditions)}", steps=(*route.steps, step))


async def test_a_row_is_served_with_what_its_validations_say(stand, offers):
    async with stand() as here:
        two_steps = offers.route(offers.times(2), offers.times(3, name="tripled", takes="y", gives="z"))
        route = checked(two_steps, large=pl.col("out.z") > 60, odd=pl.col("in.x") % 2 == 1)
        here.routing.take(offers.table(1, route))
        await here.serves(route)
        _, row = await here.ask(11)
        assert (row["out"], row["anomaly"]) == ({"z": 66}, {"count": 2, "large": True, "odd": True})
        _, row = await here.ask(4)
        assert (row["out"], row["anomaly"]) == ({"z": 24}, {"count": 0, "large": False, "odd": False})


async def test_a_validation_of_a_column_that_is_not_there_leaves_what_serves(stand, offers):
    async with stand() as here:
        route = offers.route(offers.times(2))
        here.routing.take(offers.table(1, route))
        await here.serves(route)
        here.routing.take(offers.table(2, checked(route, wrong=pl.col("out.no") > 1)))
        await here.until(lambda: here.state().state == "failed")
        fault = here.state().fault
        assert fault.what == "validation 'wrong' uses 'out.no', which does not exist"
        assert fault.fix == "known are in.x, out.y"
        assert (await here.ask(3))[1]["out"] == {"y": 6}


async def test_requests_wait_for_one_another_as_their_step_is_configured(stand, offers, workers, isolated):
    async with stand() as here:
        worker, address = await workers.start(ROWS_OF_A_CALL)
        try:
            # Alone it goes after a moment; together they go at once, and never more than two.
            waits = {"max_batch_delay_ms": 400, "batch_size_target": 2, "batch_size_limit": 2}
            route = offers.route(isolated(address, batch_config="joined", **waits))
            here.routing.take(offers.table(1, route))
            await here.serves(route)
            assert (await here.ask(1))[1]["out"] == {"y": 1}
            answers = await asyncio.gather(*(here.ask(number) for number in range(4)))
            assert [row["out"] for _, row in answers] == [{"y": 2}] * 4
        finally:
            await worker.stop(0)
