"""What the workers of a model version wrote, over the control API."""

import time
from pathlib import Path
from typing import Any

import pytest

from trivet.disk.worker_logs import stamp_logs


@pytest.fixture
def log(api: Any) -> Path:
    """The log of the first version of `fraud`."""
    version = api.ready("fraud")
    folder = api.control.settings.home / "logs"
    folder.mkdir()
    return Path(folder / f"fraud-{version['uuid'][:8]}.log")


def lines_of(api: Any, **query: Any) -> dict[str, Any]:
    [version] = api.call("GET", "/v1/models/fraud/versions")["versions"]
    return dict(api.call("GET", f"/v1/versions/{version['uuid']}/runtime-logs", params=query))


def test_a_version_without_a_log_says_why_it_has_none(api, log) -> None:
    found = lines_of(api)
    assert (found["lines"], found["end"]) == ([], 0)
    assert found["note"] == "it runs in the gateway's process, and writes nothing"


def test_lines_have_times_and_the_newest_are_given(api, log) -> None:
    log.write_text("Traceback (most recent call last):\nValueError: \x1b[31mno\n")
    stamp_logs(log.parent, now_s=1_769_860_800.0)
    found = lines_of(api, limit=1)
    assert found["lines"] == [{"at": "2026-01-31T12:00:00+00:00", "text": "ValueError: \x1b[31mno"}]
    assert found["note"] is None
    assert lines_of(api, after=found["end"])["lines"] == []


def test_lines_from_before_a_time_are_left_out(api, log) -> None:
    log.write_text("an old line that nobody asks for\n")
    stamp_logs(log.parent, now_s=time.time() - 3600)
    with log.open("a") as file:
        file.write("a line of the last few seconds\n")
    stamp_logs(log.parent, now_s=time.time())
    assert [line["text"] for line in lines_of(api, since_s=600)["lines"]] == ["a line of the last few seconds"]
    assert len(lines_of(api)["lines"]) == 2


def test_an_unknown_version_has_no_log(api) -> None:
    api.refused(404, "GET", "/v1/versions/00000000-0000-0000-0000-000000000000/runtime-logs")
    api.refused(404, "GET", "/v1/versions/..%2F..%2Ftoken/runtime-logs")
