"""The contract of doors, on every wire protocol."""

import asyncio
import json
from typing import ClassVar

from contracts.doors import DoorContract, listening
from contracts.raw_doors import RawDoorContract
from trivet.gateway.doors.table import DOORS

TEXT_DOORS = {**DOORS, "text": "trivet_tests.text_door:TextDoor"}
RAW_DOORS = {**TEXT_DOORS, "raw": "trivet_tests.raw_door:RawDoor"}


class TestReferenceDoor(DoorContract):
    """The reference's protocol, with records in JSON."""

    doors = DOORS
    path = "/v1/api/pipelines/infer/model-1/model"
    headers: ClassVar = {"Content-Type": "application/json"}
    hostile = (b"", b"[", b"\x00\xff", b'[{"x": "one"}]', b'[{"x": 1e400}]', b"[" * 5000, b'{"x": 1}', b"[]")

    def encoded(self, values: list[int]) -> bytes:
        return json.dumps([{"x": value} for value in values]).encode()

    def decoded(self, content: bytes) -> list[int]:
        return [row["out"]["y"] for row in json.loads(content)]

    def message(self, content: bytes) -> str:
        text = json.loads(content)["error"]
        assert isinstance(text, str)
        return text

    def test_a_request_without_a_content_type_is_refused(self) -> None:
        async def story() -> None:
            async with listening(self.doors) as gateway:
                _, runner = gateway.put()
                reply = await gateway.post(self.path, self.encoded([1]), {})
                assert reply.status_code == 415
                assert self.message(reply.content) == "the request has no Content-Type"
                assert runner.calls == 0

        asyncio.run(story())


class TestTextDoor(DoorContract):
    """A second protocol beside the reference's."""

    doors = TEXT_DOORS
    path = "/text/model"
    hostile = (b"", b"one", b"\x00\xff", b"1\n2\nthree", b"9" * 30, b"1.5", b"[1]")

    def encoded(self, values: list[int]) -> bytes:
        return "\n".join(map(str, values)).encode()

    def decoded(self, content: bytes) -> list[int]:
        return [int(line) for line in content.split()]

    def message(self, content: bytes) -> str:
        return content.decode().partition(": ")[2]


class TestReferenceDoorBesideOthers(TestReferenceDoor):
    """The first protocol is as it was where others are served beside it."""

    doors = RAW_DOORS


class TestRawDoor(RawDoorContract):
    """A protocol whose models read requests themselves."""

    doors = RAW_DOORS
    path = "/raw/model"

    def message(self, content: bytes) -> str:
        return content.decode().partition(": ")[2]


def test_each_door_writes_its_own_errors() -> None:
    async def story() -> None:
        async with listening(TEXT_DOORS) as gateway:
            for path, content_type in (("/text/none", "text/plain; charset=utf-8"), ("/none", "application/json")):
                reply = await gateway.post(path, b"", {})
                assert (reply.status_code, reply.headers["content-type"]) == (404, content_type)

    asyncio.run(story())


def test_a_door_may_have_pages() -> None:
    async def story() -> None:
        async with listening(TEXT_DOORS) as gateway:
            gateway.put()
            assert (await gateway.client.get(gateway.urls[0] + "/text/model")).text == "x"
            refused = await gateway.client.put(gateway.urls[0] + "/text/model")
            assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST")

    asyncio.run(story())
