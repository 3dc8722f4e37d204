"""The supervisor's end of the gateway's socket, and the file of its memory."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trivet.domain.encoding import encode
from trivet.domain.routes import NativeStep, Route, RouteTable, WorkerEnded
from trivet.supervisor.desired import KnownRoute, Memory
from trivet.supervisor.gateway_client import GatewayChannel
from trivet.supervisor.memory_file import MemoryFile
from trivet_tests.peers import peers_in

STEP = NativeStep(name="m", version="v", version_id=1, sha="0" * 64, framework="onnx", path="/nowhere/m.onnx")
ROUTE = Route(deployment_id=1, pipeline="p", workspace_id=1, pipeline_version="pv", digest="d", steps=(STEP,))


def test_each_gateway_receives_the_newest_table_and_is_read(place: Callable[[], Any], soon: Any) -> None:
    async def scenario() -> None:
        gateway = place().gateway
        changes: list[bool] = []
        channel = GatewayChannel(gateway.peers, on_change=lambda: changes.append(channel.report is not None))
        talking = asyncio.create_task(channel.run())
        channel.offer(RouteTable(number=1, routes=()))
        channel.worker_ended(WorkerEnded(id="w", ending="no gateway is connected"))
        for number in (2, 3):
            async with gateway.answering():
                await soon(lambda: channel.report is not None and gateway.tables)
                channel.offer(RouteTable(number=number, routes=(ROUTE,)))
                await soon(lambda n=number: channel.report.number == n)
                assert channel.report.states[0].serving == "d"
                assert changes[-1]
                channel.worker_ended(WorkerEnded(id=f"w{number}", ending="gone"))
                await soon(lambda n=number: [end.id for end in gateway.ended][-1:] == [f"w{n}"])
            await soon(lambda: channel.report is None)
            assert not changes[-1]
        assert [table.number for table in gateway.tables] == [1, 2, 2, 3]
        talking.cancel()

    asyncio.run(scenario())


def test_a_gateway_that_talks_nonsense_is_asked_again(tmp_path: Path, soon: Any) -> None:
    async def scenario() -> None:
        met = []

        async def babble(_reader: Any, writer: asyncio.StreamWriter) -> None:
            met.append(True)
            writer.write(b'{"kind": "nothing that we know"}\n')
            await writer.drain()
            writer.close()

        channel = GatewayChannel(peers_in(tmp_path), on_change=lambda: None)
        async with await asyncio.start_unix_server(babble, tmp_path / "gateway.sock"):
            talking = asyncio.create_task(channel.run())
            await soon(lambda: len(met) >= 3)
            assert channel.report is None
            talking.cancel()

    asyncio.run(scenario())


def test_a_memory_is_kept_whole(tmp_path: Path) -> None:
    file = MemoryFile(tmp_path / "supervisor.json", table=tmp_path / "routes.json")
    assert file.read() == Memory()
    memory = Memory(routes={"d": KnownRoute(route=ROUTE, fleets=(None,))}, serving={1: "d"}, offered={1: "d"})
    file.write(memory)
    assert file.read() == memory
    assert (tmp_path / "supervisor.json").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.new"))


def test_a_memory_that_was_damaged_comes_back_from_the_gateways_file(tmp_path: Path) -> None:
    (tmp_path / "supervisor.json").write_bytes(b"{")
    (tmp_path / "routes.json").write_bytes(encode(RouteTable(number=4, routes=(ROUTE,))))
    memory = MemoryFile(tmp_path / "supervisor.json", table=tmp_path / "routes.json").read()
    assert memory.offered == {1: "d"}
    assert memory.routes["d"].route == ROUTE


def test_a_memory_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    MemoryFile(tmp_path / "gone" / "supervisor.json", table=tmp_path / "routes.json").write(Memory())
