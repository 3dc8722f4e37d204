"""Rows that fail, with real models: native, in workers, in joined calls, and in pipelines of several steps."""

import asyncio

import msgspec
import onnx
import pytest
from onnx import TensorProto, helper

from trivet.domain.routes import NativeStep

UNLUCKY = """
def process_data(input_data):
    if (input_data['x'] == 13).any():
        raise ValueError('unlucky')
    return {'y': input_data['x'] * 2}
"""
BY_ROW = "on_error=null"


def lookup(offers, *, takes: str = "x", gives: str = "y") -> NativeStep:
    """A native step, `gives = table[takes]` for 0 to 4: ONNX Runtime fails for others."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", takes], [gives])],
        "graph",
        [helper.make_tensor_value_info(takes, TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info(gives, TensorProto.INT64, ["N"])],
        [helper.make_tensor("table", TensorProto.INT64, [5], [0, 1, 4, 9, 13])],
    )
    path = offers.folder / "lookup.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return msgspec.structs.replace(offers.times(2, name="lookup", takes=takes, gives=gives), path=str(path))


def rows_of(*numbers: int) -> list[dict[str, int]]:
    return [{"x": number} for number in numbers]


def outputs(answers, name: str = "y") -> list[int | None]:
    assert all((row["error"] is None) == (row["out"][name] is not None) for row in answers)
    return [row["out"][name] for row in answers]


def paths(answers) -> list[str | None]:
    return [row["error"] and row["error"]["path"] for row in answers]


async def test_rows_of_a_native_model_fail_one_by_one(stand, offers):
    async with stand() as here:
        route = offers.route(lookup(offers))
        here.routing.take(offers.table(1, route))
        await here.serves(route)
        status, answers = await here.ask_rows(rows_of(3, 9, 0, -7, 4), query=BY_ROW)
        assert (status, outputs(answers), paths(answers)) == (
            200,
            [9, None, 0, None, 13],
            [None, "[1]", None, "[3]", None],
        )
        status, error = await here.ask_rows(rows_of(3, 2, 9))
        assert (status, error["path"]) == (500, "[2]")


@pytest.mark.parametrize("batching", ["joined", "whole", "single"])
async def test_rows_of_a_model_in_a_worker_fail_one_by_one(stand, offers, workers, isolated, batching):
    async with stand() as here:
        worker, address = await workers.start(UNLUCKY)
        try:
            # Requests wait for each other, so that good rows share calls with rows that fail.
            waits = {"max_batch_delay_ms": 20, "batch_size_target": 8} if batching == "joined" else {}
            route = offers.route(isolated(address, batch_config=batching, **waits))
            here.routing.take(offers.table(1, route))
            await here.serves(route)
            asked = [rows_of(1, 13, 3), rows_of(4, 5), rows_of(13), rows_of(13, 13, 8, 9)]
            answers = await asyncio.gather(*(here.ask_rows(rows, query=BY_ROW) for rows in asked))
            assert [status for status, _ in answers] == [200] * 4
            assert [outputs(rows) for _, rows in answers] == [[2, None, 6], [8, 10], [None], [None, None, 16, 18]]
            assert paths(answers[3][1]) == ["[0]", "[1]", None, None]
            assert answers[0][1][1]["error"]["message"] == "ValueError: unlucky"
            status, error = await here.ask_rows(rows_of(1, 2, 13, 4))
            assert (status, error["error"], error["path"]) == (500, "ValueError: unlucky", "[2]")
        finally:
            await worker.stop(0)


async def test_rows_fail_in_one_of_several_steps(stand, offers, workers, isolated):
    async with stand() as here:
        worker, address = await workers.start(UNLUCKY)
        try:
            route = offers.route(isolated(address), lookup(offers, takes="y", gives="z"))
            here.routing.take(offers.table(1, route))
            await here.serves(route)
            status, answers = await here.ask_rows(rows_of(1, 9, 13, 2), query=BY_ROW)
            assert (status, outputs(answers, "z"), paths(answers)) == (
                200,
                [4, None, None, 13],
                [None, "[1]", "[2]", None],
            )
            messages = [row["error"]["message"] for row in answers if row["error"]]
            assert messages[0].startswith("step 'lookup': ")
            assert messages[1] == "step 'step': ValueError: unlucky"
        finally:
            await worker.stop(0)
