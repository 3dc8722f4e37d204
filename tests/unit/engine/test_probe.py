"""Readiness is what a canned row says of it."""

import asyncio
from collections.abc import Awaitable, Callable

from trivet.domain.schema import parse_schema
from trivet.engine.batch import Batch
from trivet.engine.canned import canned_batch
from trivet.engine.served import Probe
from trivet.errors import ModelFailed, Overloaded, TrivetError

SCHEMA = parse_schema("x: float32[2]")


class Answering:
    """A runner that does what a test says."""

    input_schema = output_schema = SCHEMA

    def __init__(self, answer: Callable[[Batch], Awaitable[Batch]], *, capacity: int = 1) -> None:
        self.predict = answer
        self.capacity = capacity


async def echo(batch: Batch) -> Batch:
    return batch


async def hang(batch: Batch) -> Batch:
    await asyncio.sleep(3600)
    return batch


def raising(error: TrivetError) -> Callable[[Batch], Awaitable[Batch]]:
    async def answer(_batch: Batch) -> Batch:
        raise error

    return answer


def checked(
    answer: Callable[[Batch], Awaitable[Batch]], *, synthetic: bool = True, capacity: int = 1
) -> TrivetError | None:
    probe = Probe(Answering(answer, capacity=capacity), canned_batch(SCHEMA), synthetic=synthetic, slowest_s=0.05)
    return asyncio.run(probe.check())


def test_a_model_that_answers_is_ready() -> None:
    assert checked(echo) is None


def test_without_capacity_nothing_is_ready() -> None:
    assert checked(echo, capacity=0).reason == "unavailable"


def test_a_model_that_hangs_is_not_ready_long_before_its_deadline() -> None:
    refusal = checked(hang)
    assert refusal.reason == "slow_probe"
    assert refusal.message == "a row of zeros was not answered within 0.05 s"


def test_a_busy_model_is_ready() -> None:
    assert checked(raising(Overloaded("too many requests wait for this model"))) is None


def test_refusing_a_made_up_row_is_allowed_and_refusing_an_example_is_not() -> None:
    refuses = raising(ModelFailed("KeyError: 'z'"))
    assert checked(refuses) is None
    assert checked(refuses, synthetic=False).message == "KeyError: 'z'"


def test_a_slow_model_is_given_its_usual_time() -> None:
    async def slow(batch: Batch) -> Batch:
        await asyncio.sleep(0.1)
        return batch

    async def story() -> TrivetError | None:
        probe = Probe(Answering(slow), canned_batch(SCHEMA), synthetic=True, slowest_s=0.05)
        assert await probe.warm_up() is None
        return await probe.check()

    assert asyncio.run(story()) is None
