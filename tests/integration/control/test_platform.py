"""Health, what runs, events, and the inference log."""

import asyncio
import io
import time
from datetime import UTC, datetime

import httpx
import pyarrow as pa
import pytest

from trivet import __version__
from trivet.control.use_cases.logs import read_time, records_of
from trivet.errors import Invalid


def test_health_is_nothing_but_that_the_process_runs(api) -> None:
    assert api.call("GET", "/healthz") == {"status": "alive"}


def test_readiness_says_which_part_does_not_answer(api) -> None:
    ready = {"database": "ready", "packages": "ready", "supervisor": "ready", "gateway": "ready"}
    assert api.call("GET", "/readyz") == {"status": "ready", **ready}
    api.silent["gateway"] = "it does not answer"
    answer = api.ask("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", **ready, "gateway": "it does not answer"}


def test_the_platform_says_what_it_is_and_no_secret(api) -> None:
    secret = api.with_settings(database_url="postgresql://me:hunter2@db/trivet")
    answer = secret.ask("GET", "/v1/platform")
    said = answer.json()
    assert said["version"] == __version__
    assert said["infer_url"] == "http://127.0.0.1:8080"
    assert said["database"] == "sqlite"
    assert set(said) == {"version", "home", "infer_url", "database", "python"}
    assert "hunter2" not in answer.text


def test_events_come_in_order_from_where_one_left_off(api) -> None:
    for number in range(5):
        api.control.add_event(workspace_id=1, subject="s", subject_id="1", kind="k", text=str(number))
    first = api.call("GET", "/v1/events?limit=2")["events"]
    rest = api.call("GET", f"/v1/events?after={first[-1]['id']}")["events"]
    assert [event["text"] for event in first + rest] == ["0", "1", "2", "3", "4"]
    assert datetime.fromisoformat(first[0]["at"]).tzinfo is not None


def test_events_of_one_workspace_can_be_asked_for(api) -> None:
    other = api.call("POST", "/v1/workspaces", json={"name": "other"})
    for workspace_id in (1, other["id"]):
        api.control.add_event(workspace_id=workspace_id, subject="s", subject_id="1", kind="k", text=str(workspace_id))
    found = api.call("GET", "/v1/events?workspace=other")["events"]
    assert [event["workspace_id"] for event in found] == [other["id"]]


def test_events_can_be_waited_for(api) -> None:
    async def story(client: httpx.AsyncClient) -> tuple[float, list[str]]:
        begun = time.monotonic()
        waiting = asyncio.create_task(client.get("/v1/events?wait_s=20"))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await asyncio.to_thread(
            api.control.add_event, workspace_id=1, subject="s", subject_id="1", kind="k", text="at last"
        )
        events = (await waiting).json()["events"]
        return time.monotonic() - begun, [event["text"] for event in events]

    waited_s, texts = api.run(story)
    assert texts == ["at last"]
    assert waited_s < 20.0


def test_waiting_for_events_ends_by_itself_and_when_the_platform_stops(api) -> None:
    from dataclasses import replace

    begun = time.monotonic()
    assert api.call("GET", "/v1/events?wait_s=0.3") == {"events": []}
    stopping = replace(api, control=replace(api.control, is_stopping=lambda: True))
    assert stopping.call("GET", "/v1/events?wait_s=20") == {"events": []}
    assert time.monotonic() - begun < 18.0


@pytest.mark.parametrize(
    "query", ["after=-1", f"after={2**63}", "after=x", "limit=0", "limit=1001", "wait_s=31", "wait_s=nan"]
)
def test_numbers_beyond_what_is_meant_are_refused(api, query: str) -> None:
    api.refused(400, "GET", f"/v1/events?{query}")


def test_the_log_of_a_pipeline_that_was_never_deployed_is_empty(api) -> None:
    api.call("POST", "/v1/pipelines", json={"name": "fraud"})
    answer = api.ask("GET", "/v1/pipelines/fraud/logs")
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert answer.headers["x-iteration-status"] == "All"
    assert "x-iteration-cursor" not in answer.headers
    assert pa.ipc.open_stream(answer.content).read_all().num_rows == 0
    assert api.call("GET", "/v1/pipelines/fraud/logs", headers={"Accept": "application/json"}) == []


def test_the_gateway_is_asked_to_write_its_log_out_first(api) -> None:
    api.deploy("pipe", api.ready())
    api.ask("GET", "/v1/pipelines/pipe/logs")
    assert len(api.flushes) == 1


def test_a_log_has_the_requested_form(api) -> None:
    api.deploy("pipe", api.ready())
    as_file = api.ask("GET", "/v1/pipelines/pipe/logs", headers={"Accept": "application/vnd.apache.arrow.file"})
    assert pa.ipc.open_file(io.BytesIO(as_file.content)).read_all().num_rows == 0
    records = api.ask("GET", "/v1/pipelines/pipe/logs", headers={"Accept": "application/json; format=pandas-records"})
    assert records.json() == []
    assert records.headers["content-type"] == "application/json; format=pandas-records"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=99999999",
        "start=2026-01-01T00:00:00Z",
        "start=yesterday&end=today",
        "cursor=nonsense",
        "dataset[]=nonsense",
        "order=Sideways",
        "dataset[]=*&dataset[]=metadata",
    ],
)
def test_a_question_about_the_log_that_cannot_be_is_refused(api, query: str) -> None:
    api.deploy("pipe", api.ready())
    assert api.refused(400, "GET", f"/v1/pipelines/pipe/logs?{query}")["what"]


def test_a_time_without_a_zone_is_utc() -> None:
    assert read_time("2026-01-31T12:00:00", "start") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert read_time("2026-01-31T12:00:00Z", "start") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    with pytest.raises(Invalid, match="is not a time"):
        read_time("noon", "start")


def test_records_are_nested_by_the_part_and_a_dot_in_a_column_is_its_own() -> None:
    table = pa.table(
        {
            "time": pa.array([1_700_000_000_123], pa.timestamp("ms")),
            "in.tensor": [[1.0, 2.0]],
            "out.a.b": [1],
            "anomaly.count": [0],
        }
    )
    assert records_of(table) == [
        {"time": 1_700_000_000_123, "in": {"tensor": [1.0, 2.0]}, "out": {"a.b": 1}, "anomaly": {"count": 0}}
    ]
