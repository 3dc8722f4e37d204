"""Large answers are written away from the event loop, and sent in pieces as fast as the client reads them."""

import asyncio
import threading

import numpy as np
import orjson
import pytest

from trivet.domain.held_bytes import HeldBytes
from trivet.domain.schema import parse_schema
from trivet.engine.batch import Batch
from trivet.gateway.allowance import Allowance
from trivet.gateway.doors.table import open_doors
from trivet.gateway.formats.json_text import NUMBERS_AT_ONCE, column_texts
from trivet.gateway.http.app import LARGE_ANSWER, PIECE_BYTES, GatewayApp
from trivet.gateway.pipelines import Pipelines
from trivet_tests.asgi import request_scope

SCHEMA = parse_schema("x: int64")
WIDE = parse_schema("y: float32[500000]")


@pytest.mark.parametrize(
    "shape",
    [(1, 3 * NUMBERS_AT_ONCE + 1), (7, NUMBERS_AT_ONCE), (3, 2, NUMBERS_AT_ONCE + 5), (2 * NUMBERS_AT_ONCE + 3,)],
)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
def test_large_columns_have_the_text_of_the_whole(shape, dtype):
    values = (np.arange(np.prod(shape)) % 1000).astype(dtype).reshape(shape)
    kind = {"float32": "float32", "int64": "int64", "bool": "bool"}[values.dtype.name]
    schema = parse_schema("y: " + kind + ("[" + ",".join(map(str, shape[1:])) + "]" if shape[1:] else ""))
    texts = column_texts(Batch(schema, [values], len(values)), 0)
    assert b"[" + b",".join(texts) + b"]" == orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)


@pytest.fixture
def ask(make_pipeline):
    """Starts a request whose answer has half a million numbers; gives its task, what is sent, its scope and the count."""

    def start(on_send=None):
        pipelines, held, sent = Pipelines(), HeldBytes(), []
        pipelines.put(
            make_pipeline(
                SCHEMA, WIDE, lambda batch: Batch(WIDE, [np.full((1, 500_000), 0.5, np.float32)], 1), name="m"
            )
        )
        app = GatewayApp(pipelines, open_doors(pipelines, partition=""), max_body=2**20, held=held)
        scope = request_scope()

        async def receive():
            return {"type": "http.request", "body": b'[{"x": 1}]'}

        async def send(message):
            sent.append(message)
            if on_send is not None:
                on_send(scope, held)

        return asyncio.create_task(app(scope, receive, send)), sent, held

    return start


def test_a_large_answer_is_sent_in_pieces_and_counted_meanwhile(ask):
    async def story():
        counts = []
        task, sent, held = ask(lambda _, held: counts.append(held.held))
        await task
        pieces = [bytes(message["body"]) for message in sent[1:]]
        whole = b"".join(pieces)
        assert len(whole) > LARGE_ANSWER
        assert dict(sent[0]["headers"])[b"content-length"] == b"%d" % len(whole)
        assert max(map(len, pieces)) == PIECE_BYTES
        assert [message["more_body"] for message in sent[1:]] == [True] * (len(pieces) - 1) + [False]
        assert orjson.loads(whole)[0]["out"] == {"y": [0.5] * 500_000}
        assert min(counts) >= len(whole)
        assert held.held == 0

    asyncio.run(story())


def test_the_rest_of_a_large_answer_is_not_sent_to_a_client_that_left(ask):
    async def story():
        task, sent, held = ask(lambda scope, _: len(sent) == 2 and scope["state"]["on_left"]())
        await task
        assert len(sent) == 2
        assert held.held == 0

    asyncio.run(story())


def test_a_large_answer_to_a_small_request_is_written_in_a_thread(make_pipeline):
    class Exchange:
        def __init__(self):
            self.threads = []

        def in_thread(self, _body):
            return False

        def read(self, body, _allowance):
            return body

        def write(self, _answer):
            self.threads.append(threading.current_thread())
            return b""

    class Inputs:
        batch = Batch(SCHEMA, [np.zeros(1, np.int64)], 1)

    async def story():
        for width, apart in ((10, False), (500_000, True)):
            live = Pipelines().put(
                make_pipeline(SCHEMA, WIDE, lambda _, n=width: Batch(WIDE, [np.zeros((1, n), np.float32)], 1), name="m")
            )
            exchange = Exchange()
            await live.answer(exchange, Inputs(), Allowance())
            assert (exchange.threads[0] is not threading.main_thread()) == apart

    asyncio.run(story())
