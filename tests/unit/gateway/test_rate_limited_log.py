"""A line that every request would write is written once a second at most, and says how many were left out."""

import asyncio
import logging
import re
import time

import pytest

from trivet.errors import Unavailable
from trivet.gateway.doors.table import open_doors
from trivet.gateway.http.app import GatewayApp
from trivet.gateway.http.rate_limited_log import MOST_KEYS, RateLimitedLog, RepeatLimit
from trivet.gateway.pipelines import Pipelines, Place


def said_by(caplog: pytest.LogCaptureFixture) -> int:
    """How many are told of, by lines of their own or as left out."""
    found = [re.search(r"\((\d+) more like it within a second are left out\)$", text) for text in caplog.messages]
    return len(caplog.messages) + sum(int(each[1]) for each in found if each)


def test_a_failing_pipeline_is_logged_once_a_second_and_all_requests_count(caplog):
    pipelines = Pipelines()
    app = GatewayApp(pipelines, open_doors(pipelines, partition="here"), max_body=2**20)
    pipelines.refuse(Place("p", 1), Unavailable("pipeline p is starting", fix="ask again in a moment"))
    statuses = []

    async def receive():
        raise AssertionError("nobody reads the body")

    async def send(message):
        statuses.append(message.get("status"))

    async def story():
        scope = {
            "type": "http",
            "state": {},
            "method": "POST",
            "path": "/pipelines/p/infer",
            "headers": [],
            "query_string": b"",
        }
        ends = time.monotonic() + 2.5
        asked = 0
        while time.monotonic() < ends:
            await app({**scope, "headers": [(b"x-request-id", b"r%d" % asked)]}, receive, send)
            asked += 1
            await asyncio.sleep(0.001)
        await asyncio.sleep(1.2)
        return asked

    asked = asyncio.run(story())
    assert statuses.count(503) == asked
    assert caplog.messages[0] == "request r0: pipeline p is starting"
    # At once, and at the end of each second.
    assert 3 <= len(caplog.messages) <= 5
    assert said_by(caplog) == asked
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_different_messages_are_logged_up_to_a_limit(caplog):
    async def story():
        seldom = RateLimitedLog(logging.getLogger("here"))
        for number in range(1000):
            seldom.say(logging.WARNING, f"thing {number}", key=number)
        assert len(caplog.messages) == MOST_KEYS + 1
        await asyncio.sleep(1.2)
        assert said_by(caplog) == 1000
        assert len(caplog.messages) == MOST_KEYS + 2
        # What is over is forgotten, and said at once when it comes again.
        await asyncio.sleep(1.2)
        seldom.say(logging.WARNING, "thing 1", key=1)
        assert caplog.messages[-1] == "thing 1"

    asyncio.run(story())


def test_malformed_requests_are_logged_once_a_second():
    limit = RepeatLimit()

    def logged(text, *, at):
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, text, (), None)
        record.created = at
        return record.getMessage() if limit.filter(record) else None

    texts = [logged("Invalid HTTP request received.", at=1000 + number / 100) for number in range(250)]
    assert [text for text in texts if text] == [
        "Invalid HTTP request received.",
        "Invalid HTTP request received. (99 more like it since the last one are left out)",
        "Invalid HTTP request received. (99 more like it since the last one are left out)",
    ]
    assert logged("another", at=1002.6) == "another"
    for number in range(10 * MOST_KEYS):
        logged(f"line {number}", at=1003)
    assert len(limit._passed_at) <= MOST_KEYS
