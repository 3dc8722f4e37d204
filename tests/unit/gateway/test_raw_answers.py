"""Answers that a model writes itself, on their way to clients that are slow, leave, or are cut off by a stop."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from trivet.domain.held_bytes import HeldBytes, Hold
from trivet.domain.schema import parse_schema
from trivet.engine.calls import ArrivingAnswer, Piece
from trivet.engine.checks.checks import Checks
from trivet.engine.checks.timed import TimedChecks
from trivet.errors import DeadlineExceeded, Kind, TooLarge, Unsupported
from trivet.gateway.doors.table import open_doors
from trivet.gateway.http.app import GatewayApp
from trivet.gateway.http.raw_answers import PIECE_BYTES, send_raw
from trivet.gateway.pipelines import Pipelines
from trivet_tests.asgi import request_scope

SCHEMA = parse_schema("x: float32")
FIRST = Piece(data=b"one", last=False, status=200, content_type="text/plain")
DOORS = {"raw": "trivet_tests.raw_door:RawDoor"}


class RawModel:
    """Keeps the contracts of `Runner` and `RawRunner`: it answers with the pieces that a test delivers."""

    capacity = 1
    input_schema = output_schema = SCHEMA

    def __init__(self, *pieces):
        self.arriving = ArrivingAnswer()
        self.left = False
        for piece in pieces:
            self.arriving.deliver(piece)

    def predict(self, batch):
        return batch

    async def answer(self, raw):
        return await self.arriving.begun(leave=self.leave)

    def leave(self):
        self.left = True


@pytest.fixture
def post(pipeline_around):
    """Starts a request; gives its task, its pipeline, what is sent to the client, and the state of its connection."""

    def start(model):
        pipelines = Pipelines()
        live = pipelines.put(pipeline_around(model, name="model"))
        app = GatewayApp(pipelines, open_doors(pipelines, partition="", table=DOORS), max_body=100)
        sent, came = [], [{"type": "http.request", "body": b"hello"}]

        async def receive():
            return came.pop()

        async def send(message):
            sent.append(message)

        scope = request_scope("/raw/model", headers=())
        return asyncio.create_task(app(scope, receive, send)), live, sent, scope["state"]

    return start


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def kinds(sent):
    return [message["type"].removeprefix("http.response.") for message in sent]


def test_a_client_that_does_not_read_is_given_up():
    async def story():
        model = RawModel(FIRST, Piece(data=b"two", last=True))
        sent = []

        async def send(message):
            if len(sent) == 2:
                await asyncio.Event().wait()
            sent.append(message)

        with pytest.raises(DeadlineExceeded) as caught:
            await send_raw(send, partial(model.answer, None), b"7", held=Hold(), slowest_piece_s=0.05)
        assert str(caught.value) == "the client did not read a piece of the answer within 0.05 s"
        assert kinds(sent) == ["start", "body"]
        assert model.left

    asyncio.run(story())


def test_pieces_that_a_client_does_not_read_are_counted_until_it_does():
    async def story():
        model = RawModel(FIRST)
        held, reads = HeldBytes(most=1000), asyncio.Event()
        sent = []

        async def send(message):
            sent.append(message)
            await reads.wait()

        async def answer():
            with Hold(held) as hold:
                await send_raw(send, partial(model.answer, None), b"7", held=hold, slowest_piece_s=60)

        task = asyncio.create_task(answer())
        await until(lambda: sent)
        for _ in range(3):
            model.arriving.deliver(Piece(data=bytes(100), last=False))
        assert held.held == 303
        reads.set()
        await until(lambda: len(sent) == 5)
        await until(lambda: held.held == 0)
        # Beyond the limit the answer ends: its rest is not kept.
        reads.clear()
        for _ in range(20):
            model.arriving.deliver(Piece(data=bytes(100), last=False))
        assert held.held == 1000
        reads.set()
        with pytest.raises(TooLarge):
            await task
        assert (model.left, held.held) == (True, 0)
        # What arrives later is not kept for a client.
        model.arriving.deliver(Piece(data=bytes(100), last=True))
        assert held.held == 0

    asyncio.run(story())


def test_a_large_answer_in_one_piece_is_sent_in_pieces_and_counted():
    async def story():
        content = bytes(range(256)) * (PIECE_BYTES // 128)
        model = RawModel(replace(FIRST, data=content, last=True))
        held, counts, sent = HeldBytes(), [], []

        async def send(message):
            counts.append(held.held)
            sent.append(message)

        with Hold(held) as hold:
            await send_raw(send, partial(model.answer, None), b"7", held=hold, slowest_piece_s=60)
        assert kinds(sent) == ["start", "body", "body"]
        assert b"".join(bytes(message["body"]) for message in sent[1:]) == content
        assert (b"content-length", b"%d" % len(content)) in sent[0]["headers"]
        assert counts == [len(content)] * 3
        assert held.held == 0

    asyncio.run(story())


def test_a_stop_cuts_an_answer_that_has_begun(post):
    async def story():
        model = RawModel(FIRST)
        task, live, sent, _ = post(model)
        await until(lambda: len(sent) == 2)
        task.cancel()
        await task
        # The answer has no end and no error follows it, so the server cuts the connection.
        assert kinds(sent) == ["start", "body"]
        assert sent[1]["more_body"]
        assert (model.left, live.in_flight, live.metrics.outcomes) == (True, 0, {Kind.UNAVAILABLE: 1})

    asyncio.run(story())


def test_a_stop_before_the_first_piece_has_an_error_page(post):
    async def story():
        task, live, sent, _ = post(RawModel())
        await until(lambda: live.in_flight == 1)
        await asyncio.sleep(0.01)
        task.cancel()
        await task
        assert (kinds(sent), sent[0]["status"]) == (["start", "body"], 503)
        assert b"the server stopped before this was answered" in sent[1]["body"]
        assert live.metrics.outcomes == {Kind.UNAVAILABLE: 1}

    asyncio.run(story())


@pytest.mark.parametrize("pieces", [(), (FIRST,)])
def test_a_client_that_leaves_counts_as_answered(post, pieces):
    async def story():
        model = RawModel(*pieces)
        task, live, sent, connection = post(model)
        await until(lambda: len(sent) == 2 * len(pieces) and live.in_flight == 1)
        await asyncio.sleep(0.01)
        connection["on_left"]()
        await task
        assert kinds(sent) == ["start", "body"][: 2 * len(pieces)]
        assert (model.left, live.in_flight, live.metrics.outcomes) == (True, 0, {None: 1})

    asyncio.run(story())


def test_only_one_step_without_validations_takes_raw_requests(pipeline_around):
    one = pipeline_around(RawModel(), name="model")
    assert one.raw_runner() is one.runner
    for refuses, why in (
        (replace(one, steps=one.steps * 2), "its 2 steps hand rows to each other"),
        (replace(one, checks=TimedChecks(Checks([], SCHEMA, SCHEMA), timeout_s=60)), "its validations check rows"),
    ):
        with pytest.raises(Unsupported) as caught:
            refuses.raw_runner()
        assert caught.value.message == f"pipeline 'model' does not answer raw requests: {why}"
        assert (caught.value.reason, caught.value.fix) == (
            "rows_only",
            "send rows to the pipeline's address, as JSON or Arrow",
        )
