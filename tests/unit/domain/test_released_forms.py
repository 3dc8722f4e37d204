"""Files that the previous release wrote: recorded in `released`, read as today's values."""

import json
from pathlib import Path

import pytest

from trivet.domain.encoding import encode
from trivet.domain.released_forms import decode_released
from trivet.domain.routes import RouteTable, WorkerAddress, WorkerStep
from trivet.errors import Internal
from trivet.supervisor.desired import Memory
from trivet.workers.records import WorkerRecord

RELEASED = Path(__file__).parent / "released"
ADDRESS = WorkerAddress(
    id="5f1c9d20e7a34b68",
    location="grpc+unix:///tmp/trivet-w-1a2b3c4d/s",
    handle={"pid": "4242", "started": "987654"},
)


def test_the_workers_of_a_released_route_table_are_read():
    table = decode_released((RELEASED / "routes.json").read_bytes(), RouteTable)
    (step,) = table.routes[0].steps
    assert isinstance(step, WorkerStep)
    assert step.workers == (ADDRESS,)
    assert table.number == 7


def test_an_example_row_that_looks_like_an_address_is_left_alone():
    table = decode_released((RELEASED / "routes.json").read_bytes(), RouteTable)
    assert table.routes[0].steps[0].example == ({"id": 1, "address": "here", "pid": 2, "started": 3},)


def test_the_workers_of_a_released_memory_are_read():
    memory = decode_released((RELEASED / "supervisor.json").read_bytes(), Memory)
    assert memory.routes["d1"].route.steps[0].workers == (ADDRESS,)
    assert memory.serving == {1: "d1"}


def test_a_released_workers_record_is_read():
    record = decode_released((RELEASED / "worker.json").read_bytes(), WorkerRecord)
    assert record.worker == ADDRESS
    assert (record.model_pid, record.fleet) == (4243, "1-0123456789abcdef")
    assert record.devices == ()


@pytest.mark.parametrize("kind", [RouteTable, Memory, WorkerRecord])
def test_todays_documents_are_read_too(kind):
    name = {RouteTable: "routes", Memory: "supervisor", WorkerRecord: "worker"}[kind]
    value = decode_released((RELEASED / f"{name}.json").read_bytes(), kind)
    assert decode_released(encode(value), kind) == value


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"7", b"null", b'{"routes": 1}', b'{"worker": {"id": "w"}}'])
def test_a_document_of_neither_release_is_refused(damaged):
    with pytest.raises(Internal):
        decode_released(damaged, RouteTable)


def test_neither_token_nor_handle_is_shown():
    address = WorkerAddress(id="w", location="grpc+tls://here:1", handle={"pid": "4"}, token="secret", ca="PEM")
    assert repr(address) == "WorkerAddress(id='w', location='grpc+tls://here:1')"
    assert json.loads(encode(address))["token"] == "secret"
