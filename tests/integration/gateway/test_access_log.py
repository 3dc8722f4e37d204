"""The access log of a gateway that listens."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from trivet.engine.batch import Batch
from trivet.engine.canned import canned_batch
from trivet.engine.pipeline import ServedPipeline, ServedStep
from trivet.engine.served import Probe
from trivet.gateway.doors.table import open_doors
from trivet.gateway.http.access_log import AccessLog
from trivet.gateway.json_lines import JsonLines
from trivet.gateway.pipelines import Pipelines
from trivet.gateway.servers import GatewayParts, open_servers
from trivet.settings import read_settings
from trivet.wiring.access_log import open_access_log

SECRET = "0123456789abcdef"
NUMBERS = pa.schema([pa.field("x", pa.int64(), nullable=False)])


class Double:
    """Keeps the contract of `Runner`: twice a number."""

    capacity = 1
    input_schema = NUMBERS
    output_schema = NUMBERS

    def predict(self, batch: Batch) -> Batch:
        return Batch(NUMBERS, [batch.numpy(0) * 2], batch.rows)


def doubled() -> ServedPipeline:
    runner: Any = Double()
    step = ServedStep(
        name="m", version="v", version_id=1, sha="ab" * 32, framework="onnx", runtime="native", runner=runner
    )
    probe = Probe(runner, canned_batch(NUMBERS), synthetic=True)
    return ServedPipeline(
        name="m",
        version="v",
        deployment_id=None,
        workspace_id=0,
        steps=(step,),
        runner=runner,
        probe=probe,
        checks=None,
    )


def ask(home: Path, *requests: tuple[str, str, dict[str, Any]], **environ: str) -> None:
    """Send requests to a gateway with one pipeline, and stop it."""

    async def run() -> None:
        lines = open_access_log(read_settings({"TRIVET_HOME": str(home), **environ}))
        pipelines = Pipelines()
        pipelines.put(doubled())
        parts = GatewayParts(
            pipelines=pipelines, doors=open_doors(pipelines, partition="gateway"), max_body=2**20, access_log=lines
        )
        with socket.create_server(("127.0.0.1", 0)) as listener:
            [server] = open_servers(parts, [("http", listener)], drain_s=10)
            await server.start()
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
                for method, path, fields in requests:
                    await client.request(method, path, **fields)
            await server.stop()
        if lines is not None:
            await lines.close()

    asyncio.run(run())


def test_each_request_is_a_line_without_its_body_its_query_and_its_token(tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "User-Agent": "probe/" + "x" * 500, "X-Request-Id": "mine-1"}
    post = {"headers": headers, "json": [{"x": SECRET}], "params": {"q": SECRET}}
    ask(
        tmp_path,
        ("GET", "/healthz", {}),
        ("POST", "/pipelines/nowhere/" + "a" * 2000, post),
        ("POST", "/infer", {"json": [{"x": 21}]}),
        TRIVET_ACCESS_LOG="true",
    )
    written = (tmp_path / "logs" / "access.jsonl").read_text()
    assert SECRET not in written
    first, second, third = map(json.loads, written.splitlines())
    assert (first["method"], first["path"], first["status"], first["client"]) == ("GET", "/healthz", 200, "127.0.0.1")
    assert first["bytes"] > 0
    assert 0 <= first["seconds"] < 60
    assert first["request_id"] is None
    assert (second["status"], second["request_id"]) == (404, "mine-1")
    assert (third["path"], third["status"], third["bytes"] > 10) == ("/infer", 200, True)
    assert third["request_id"] is not None
    assert (len(second["path"]), len(second["agent"])) == (512, 200)
    assert oct((tmp_path / "logs" / "access.jsonl").stat().st_mode)[-3:] == "600"


def test_it_is_off_by_default(tmp_path: Path) -> None:
    ask(tmp_path, ("GET", "/healthz", {}))
    assert list(tmp_path.iterdir()) == []


def test_a_request_whose_client_has_left_has_no_status(tmp_path: Path) -> None:
    async def leave(scope: Any, receive: Any, send: Any) -> None:
        return None

    async def run() -> None:
        lines = JsonLines(tmp_path / "access.jsonl", max_bytes=2**20, most=10)
        scope = {"type": "http", "method": "POST", "path": "/infer\udcff", "headers": [], "client": None, "state": {}}
        await AccessLog(leave, lines)(scope, None, None)  # type: ignore[arg-type]
        await lines.close()

    asyncio.run(run())
    [record] = map(json.loads, (tmp_path / "access.jsonl").read_text().splitlines())
    assert (record["status"], record["client"], record["path"]) == (None, None, "/infer?")


@pytest.mark.parametrize("most", [3, 100])
def test_records_beyond_the_limit_are_dropped_and_counted(tmp_path: Path, most: int) -> None:
    async def run() -> None:
        lines = JsonLines(tmp_path / "lines.jsonl", max_bytes=2**20, most=most)
        for number in range(10):
            lines.add({"number": number})
        await lines.close()

    asyncio.run(run())
    records = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    assert [record["number"] for record in records] == list(range(10))[-most:]
    assert records[0].get("dropped") == (10 - most if most < 10 else None)


def test_a_full_log_is_set_aside_and_a_lost_one_ends_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        for _ in range(3):
            lines = JsonLines(tmp_path / "lines.jsonl", max_bytes=10, most=10)
            lines.add({"text": "x" * 20})
            await lines.close()
        (tmp_path / "file").write_text("")
        lost = JsonLines(tmp_path / "file" / "lines.jsonl", max_bytes=10, most=10)
        lost.add({"text": "x"})
        await lost.close()

    asyncio.run(run())
    assert [each.name for each in sorted(tmp_path.glob("lines*"))] == ["lines.jsonl.1"]
