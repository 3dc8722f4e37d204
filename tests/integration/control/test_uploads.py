"""Uploads: checked before their bytes come, kept whole or not at all."""

import asyncio
import hashlib
import io
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pyarrow as pa
import pytest

from trivet.control.streaming import UploadThreads
from trivet.control.use_cases.uploads import clear_uploads
from trivet.domain.encoding import schema_to_text
from trivet.domain.frameworks import Runtime
from trivet.domain.version import LoadedModel, VersionStatus
from trivet.errors import NotFound, TrivetError, Unavailable

ONNX = b"\x08\x08onnx"


class Broken:
    """A part of the platform, one of whose methods fails: `models.add_version`."""

    def __init__(self, whole: Any, method: str, error: TrivetError) -> None:
        self._whole, self._method, self._error = whole, method, error

    def __getattr__(self, name: str) -> Any:
        first, _, rest = self._method.partition(".")
        if name != first:
            return getattr(self._whole, name)
        if rest:
            return Broken(getattr(self._whole, name), rest, self._error)

        def fail(*_: Any, **__: Any) -> None:
            raise self._error

        return fail


def test_an_upload_becomes_a_version_that_waits_to_be_loaded(api) -> None:
    version = api.upload(
        content=ONNX,
        input_schema="x: float32[2]",
        tensor_fields=["tensor"],
        batch_config="single",
        network="none",
        trust=True,
    )
    assert version["name"] == "fraud"
    assert version["number"] == 1
    assert version["status"] == "pending_load_native"
    assert version["sha"] == hashlib.sha256(ONNX).hexdigest()
    assert version["size"] == len(ONNX)
    assert version["workspace"] == "default"
    assert version["input_schema_text"] == "x: float32[2]"
    assert api.blobs_kept() == [version["sha"]]
    assert api.call("GET", f"/v1/versions/{version['uuid']}") == version
    kept = api.control.catalog.models.version(version["uuid"]).settings
    assert (kept.tensor_fields, kept.batch_config, kept.network, kept.trust) == (("tensor",), "single", "none", True)


EMPTY_ZIP = b"PK\x05\x06" + b"\0" * 18
NULLABLE = pa.schema([pa.field("text", pa.string()), pa.field("size", pa.int32(), nullable=False)])


@pytest.mark.parametrize(
    ("framework", "schema", "allow_nulls", "stored", "text"),
    [
        ("python", schema_to_text(NULLABLE), None, False, "text: string; size: int32"),
        ("python", schema_to_text(NULLABLE), True, True, "text: string?; size: int32"),
        ("python", "text: string?; size: int32", None, True, "text: string?; size: int32"),
        ("python", "text: string?; size: int32", False, False, "text: string; size: int32"),
        ("custom", schema_to_text(NULLABLE), None, None, "text: string?; size: int32"),
    ],
    ids=["pyarrow", "pyarrow-allowed", "typed", "typed-refused", "custom"],
)
def test_a_step_with_a_schema_of_pyarrow_refuses_nulls(api, framework, schema, allow_nulls, stored, text) -> None:
    version = api.upload(
        content=EMPTY_ZIP, file_name="step.zip", framework=framework, input_schema=schema, allow_nulls=allow_nulls
    )
    assert version["allow_nulls"] is stored
    assert version["input_schema_text"] == text
    assert api.control.catalog.models.version(version["uuid"]).settings.allow_nulls is stored


def test_versions_are_counted_and_the_newest_comes_first(api) -> None:
    for content in (b"one", b"two", b"three"):
        api.upload(content=content)
    model = api.call("GET", "/v1/models/fraud")
    assert model["versions"] == 3
    assert [each["number"] for each in model["version_list"]] == [3, 2, 1]
    assert api.call("GET", "/v1/models/fraud/versions")["versions"] == model["version_list"]


def test_uploading_the_same_bytes_twice_makes_two_versions_of_one_blob(api) -> None:
    first, second = api.upload(content=ONNX), api.upload("other", content=ONNX)
    assert first["uuid"] != second["uuid"]
    assert api.blobs_kept() == [first["sha"]]


def test_an_upload_sent_again_after_it_went_well_gives_the_same_version(api) -> None:
    announced = api.announce()
    first = api.call("PUT", announced["url"], content=ONNX)
    assert first["uuid"] == announced["uuid"]
    assert api.call("PUT", announced["url"], content=ONNX)["number"] == 1
    assert api.refused(409, "PUT", announced["url"], content=b"others")["reason"] == "upload_finished"
    assert api.call("GET", "/v1/models/fraud")["versions"] == 1
    assert api.blobs_kept() == [first["sha"]]


def test_an_announcement_that_outlived_its_version_makes_no_second_one(api) -> None:
    announced = api.announce()
    file = api.control.uploads / f"{announced['id']}.json"
    kept = file.read_bytes()
    api.call("PUT", announced["url"], content=ONNX)
    file.write_bytes(kept)  # as if the process had been killed before it was removed
    assert api.call("PUT", announced["url"], content=ONNX)["number"] == 1
    assert api.call("GET", "/v1/models/fraud")["versions"] == 1


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"name": "CC Fraud_v2"}, None),
        ({"file_name": "../fraud.onnx"}, "file_name"),
        ({"file_name": "a\\b"}, "file_name"),
        ({"file_name": ""}, "file_name"),
        ({"file_name": ".."}, "file_name"),
        ({"file_name": "a\nb"}, "file_name"),
        ({"file_name": "ü" * 200}, "file_name"),
        ({"input_schema": "nonsense"}, "input_schema"),
        ({"input_schema": "x: float31"}, None),
        ({"framework": "mlflow"}, "framework"),
        ({"size": -1}, "size"),
        ({"sha256": "abc"}, "sha256"),
        ({"batch_config": "double"}, "batch_config"),
        ({"network": "tcp"}, "network"),
    ],
)
def test_what_cannot_be_is_refused_before_any_byte_travels(api, said: dict[str, Any], path: str | None) -> None:
    body = {"name": "fraud", "file_name": "fraud.onnx", "framework": "onnx", **said}
    refusal = api.refused(400, "POST", "/v1/uploads", json=body)
    assert refusal["fix"]
    if path:
        assert refusal["path"] == path
    assert list(api.control.uploads.iterdir()) == []


def test_a_name_that_cannot_be_one_is_proposed_one_that_can(api) -> None:
    body = {"name": "CC Fraud_v2", "file_name": "a.onnx", "framework": "onnx"}
    assert api.refused(400, "POST", "/v1/uploads", json=body)["fix"] == "'cc-fraud-v2' would do"


def test_an_unknown_field_gets_the_nearest_name(api) -> None:
    body = {"name": "fraud", "file_name": "a.onnx", "framwork": "onnx"}
    refusal = api.refused(400, "POST", "/v1/uploads", json=body)
    assert (refusal["path"], refusal["fix"]) == ("framwork", "did you mean 'framework'?")


def test_a_workspace_that_is_not_there_is_refused_at_the_announcement(api) -> None:
    body = {"name": "fraud", "file_name": "a.onnx", "framework": "onnx", "workspace": "defualt"}
    refusal = api.refused(404, "POST", "/v1/uploads", json=body)
    assert "did you mean 'default'?" in refusal["fix"]


def test_a_size_beyond_the_limit_is_refused_before_and_during_an_upload(api) -> None:
    small = api.with_settings(max_upload_mib=1.0)
    body = {"name": "fraud", "file_name": "a.onnx", "framework": "onnx"}
    assert "limit is 1 MiB" in small.refused(413, "POST", "/v1/uploads", json={**body, "size": 2**20 + 1})["why"]
    small.refused(413, "PUT", small.announce()["url"], content=b"x" * (2**20 + 1))
    assert api.blobs_kept() == []


@pytest.mark.parametrize("framework", ["custom", "python"])
@pytest.mark.parametrize(
    "content", [b"no zip at all", b"PK\x03\x04 broken off", b"PK", b"GIF89a" + b"PK\x05\x06" + b"\0" * 18]
)
def test_a_file_that_is_not_a_zip_is_refused_at_once(api, framework: str, content: bytes) -> None:
    url = api.announce(framework=framework, file_name="model.zip")["url"]
    refusal = api.refused(400, "PUT", url, content=content)
    assert (refusal["what"], refusal["reason"], refusal["class"]) == ("Not a valid ZIP file", "not_a_zip", "BadPackage")
    assert api.blobs_kept() == []


def test_a_zip_is_taken_and_waits_for_a_worker(api, zip_of) -> None:
    version = api.upload(content=zip_of(step="x = 1"), framework="python", file_name="step.zip")
    assert version["status"] == "pending_load_container"


def test_an_empty_file_is_refused(api) -> None:
    assert api.refused(400, "PUT", api.announce()["url"], content=b"")["what"] == "the file is empty"


def test_bytes_other_than_announced_are_refused_and_may_be_sent_again(api) -> None:
    url = api.announce(size=len(ONNX), sha256=hashlib.sha256(ONNX).hexdigest())["url"]
    assert api.refused(400, "PUT", url, content=ONNX + b"x")["reason"] == "broken_off"
    assert api.refused(400, "PUT", url, content=b"y" * len(ONNX))["reason"] == "wrong_digest"
    assert api.blobs_kept() == []
    assert api.call("PUT", url, content=ONNX)["number"] == 1


@pytest.mark.parametrize("name", ["0" * 32, "x", "%2e%2e", "0" * 31 + "g", "*", "0" * 32 + ".json"])
def test_an_upload_that_was_not_announced_is_not_found(api, name: str) -> None:
    api.refused(404, "PUT", f"/v1/uploads/{name}/content", content=ONNX)


@pytest.mark.parametrize("name", ["..%2f..%2ftoken", "%2fetc%2fpasswd", "..%5c..%5ctoken", "a%00b"])
def test_a_path_in_an_uploads_place_leads_nowhere(api, name: str) -> None:
    answer = api.ask("PUT", f"/v1/uploads/{name}/content", content=ONNX)
    assert 400 <= answer.status_code < 500
    assert api.blobs_kept() == []


def test_a_broken_off_upload_leaves_nothing_and_may_be_sent_again(api) -> None:
    url = api.announce(size=100)["url"]

    async def broken() -> int:
        """As uvicorn tells it: some of the body, then the connection is gone."""
        waiting: list[dict[str, Any]] = [{"type": "http.request", "body": b"x" * 50, "more_body": True}]
        answers: list[Any] = []

        async def receive() -> dict[str, Any]:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            answers.append(message)

        scope = {
            "type": "http",
            "method": "PUT",
            "path": url,
            "raw_path": url.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("localhost", 80),
            "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {api.token}".encode())],
        }
        await api.app(scope, receive, send)
        return answers[0]["status"]

    assert asyncio.run(broken()) == 400
    assert api.blobs_kept() == []
    assert api.call("GET", "/v1/models")["models"] == []
    assert api.call("PUT", url, content=b"x" * 100)["number"] == 1


def test_the_list_of_models_has_the_newest_version_of_each(api) -> None:
    made = [api.ready(name) for name in ("b", "a", "b", "c")]
    api.call("POST", "/v1/workspaces", json={"name": "other"})
    api.upload("a", workspace="other")
    newest = api.call("POST", f"/v1/versions/{made[2]['uuid']}/configurations", json={"tensor_fields": ["x"]})
    found = api.call("GET", "/v1/models")["models"]
    assert [(each["name"], each["versions"]) for each in found] == [("a", 1), ("b", 2), ("c", 1)]
    assert [each["newest"] for each in found] == [
        api.call("GET", f"/v1/versions/{made[number]['uuid']}") for number in (1, 2, 3)
    ]
    assert found[1]["newest"]["config"] == newest
    api.call("DELETE", "/v1/models/a")
    assert [each["name"] for each in api.call("GET", "/v1/models")["models"]] == ["b", "c"]


def test_the_same_upload_twice_at_once_makes_one_version(api) -> None:
    url = api.announce()["url"]

    async def both(client: httpx.AsyncClient) -> list[httpx.Response]:
        go = asyncio.Event()

        async def body(end: bytes) -> AsyncIterator[bytes]:
            yield b"begin"
            await go.wait()
            yield end

        asked = [asyncio.create_task(client.put(url, content=body(end))) for end in (b"1", b"2")]
        await asyncio.sleep(0.2)
        go.set()
        return await asyncio.gather(*asked)

    answers = sorted(api.run(both), key=lambda answer: answer.status_code)
    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[1].json()["reason"] == "upload_finished"
    assert api.call("GET", "/v1/models/fraud")["versions"] == 1
    # The loser's bytes are nobody's.
    assert api.blobs_kept() == [answers[0].json()["sha"]]


def test_slow_uploads_hold_up_nothing_else_and_end_when_nothing_comes(api) -> None:
    threads = UploadThreads(most_at_once=8, stall_s=3.0)
    slow = replace(api, control=replace(api.control, threads=threads))
    urls = [slow.announce(f"slow-{number}")["url"] for number in range(8)]

    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        for_ever = asyncio.Event()

        async def stalled() -> AsyncIterator[bytes]:
            yield b"x"
            await for_ever.wait()

        asked = [asyncio.create_task(client.put(url, content=stalled())) for url in urls]
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        assert (await client.get("/v1/models")).status_code == 200
        assert time.monotonic() - begun < 2.1
        return await asyncio.gather(*asked)

    answers = slow.run(story)
    threads.close()
    assert {answer.status_code for answer in answers} == {504}
    assert {answer.json()["reason"] for answer in answers} == {"stalled"}
    assert api.blobs_kept() == []


def test_an_upload_whose_request_is_cancelled_lets_its_thread_go_at_once(api) -> None:
    url = api.announce()["url"]

    async def story(client: httpx.AsyncClient) -> float:
        for_ever = asyncio.Event()

        async def stalled() -> AsyncIterator[bytes]:
            yield b"x"
            await for_ever.wait()

        asked = asyncio.create_task(client.put(url, content=stalled()))
        while not api.blobs_kept():
            await asyncio.sleep(0.01)
        asked.cancel()
        assert (await asked).status_code == 503
        begun = time.monotonic()
        # Not by the loop's end, which cancels everything, but while it runs.
        while api.blobs_kept():
            await asyncio.sleep(0.01)
        return time.monotonic() - begun

    assert api.run(story) < api.control.threads.stall_s / 2
    assert api.call("PUT", url, content=ONNX)["number"] == 1


def test_a_database_that_fails_after_the_bytes_came_leaves_no_bytes(api) -> None:
    url = api.announce()["url"]
    down = Unavailable("the catalog cannot be reached")
    broken = replace(api, control=replace(api.control, catalog=Broken(api.control.catalog, "models.add_version", down)))
    assert broken.refused(503, "PUT", url, content=ONNX)["what"] == "the catalog cannot be reached"
    assert api.blobs_kept() == []
    assert api.call("PUT", url, content=ONNX)["number"] == 1


def test_without_a_database_the_bytes_of_versions_are_kept(api) -> None:
    version = api.upload(content=ONNX)
    url = api.announce("other")["url"]
    down = Unavailable("the catalog cannot be reached")
    catalog = Broken(Broken(api.control.catalog, "models.add_version", down), "models.package_in_use", down)
    replace(api, control=replace(api.control, catalog=catalog)).refused(503, "PUT", url, content=ONNX)
    assert api.blobs_kept() == [version["sha"]]


def test_bytes_deleted_before_their_row_is_written_are_requested_again(api) -> None:
    url = api.announce()["url"]
    blobs = api.control.blobs

    class Gone:
        def __getattr__(self, name: str) -> Any:
            return getattr(blobs, name)

        def has(self, digest: Any) -> bool:
            blobs.delete(digest)
            return blobs.has(digest)

    unlucky = replace(api, control=replace(api.control, blobs=Gone()))
    assert "were deleted" in unlucky.refused(503, "PUT", url, content=ONNX)["what"]
    assert api.call("GET", "/v1/models")["models"] == []
    assert api.call("PUT", url, content=ONNX)["number"] == 1


def test_a_disk_that_cannot_store_the_announcement_is_unavailable(api) -> None:
    api.control.uploads.rmdir()
    body = {"name": "fraud", "file_name": "a.onnx", "framework": "onnx"}
    assert api.refused(503, "POST", "/v1/uploads", json=body)["what"] == (
        f"{api.control.uploads} cannot be read from or written to"
    )


def test_a_start_removes_stale_uploads_and_keeps_announced_ones(api) -> None:
    fresh, old = api.announce(), api.announce("old")
    left = [api.control.uploads / "a.form", api.control.uploads / "b.new"]
    for path in left:
        path.write_bytes(b"x")
    long_ago = time.time() - 25 * 3600
    os.utime(api.control.uploads / f"{old['id']}.json", (long_ago, long_ago))
    clear_uploads(api.control)
    assert [path.name for path in api.control.uploads.iterdir()] == [f"{fresh['id']}.json"]
    assert api.call("PUT", fresh["url"], content=ONNX)["number"] == 1


def test_an_announcement_is_forgotten_after_a_day_without_a_restart_too(api) -> None:
    announced = api.announce()
    long_ago = time.time() - 25 * 3600
    os.utime(api.control.uploads / f"{announced['id']}.json", (long_ago, long_ago))
    api.refused(404, "PUT", announced["url"], content=ONNX)


def test_a_models_bytes_go_with_its_last_version(api) -> None:
    shared, own = api.upload(content=b"shared"), api.upload(content=b"own")
    api.upload("other", content=b"shared")
    api.call("DELETE", "/v1/models/fraud")
    assert api.blobs_kept() == [shared["sha"]]
    api.refused(404, "GET", f"/v1/versions/{own['uuid']}")
    api.call("DELETE", "/v1/models/other")
    assert api.blobs_kept() == []


def test_a_model_that_is_deployed_keeps_its_bytes(api) -> None:
    version = api.ready()
    api.deploy("pipe", version)
    refusal = api.refused(409, "DELETE", "/v1/models/fraud")
    assert "'pipe'" in refusal["why"]
    assert api.blobs_kept() == [version["sha"]]


def test_an_upload_and_its_deletion_are_events(api) -> None:
    version = api.upload()
    api.call("DELETE", "/v1/models/fraud")
    events = api.call("GET", "/v1/events")["events"]
    assert [(event["subject"], event["subject_id"], event["kind"]) for event in events] == [
        ("model_version", version["uuid"], "uploaded"),
        ("model", "fraud", "deleted"),
    ]


def test_a_deleted_model_takes_what_it_was_converted_to(api) -> None:
    version = api.upload()
    converted, _ = api.control.blobs.put(io.BytesIO(b"converted"))
    schema = pa.schema([pa.field("x", pa.float32())])
    loaded = LoadedModel(runtime=Runtime.NATIVE, converted=converted, input_schema=schema, output_schema=schema)
    api.control.catalog.models.set_status(version["id"], VersionStatus.READY, loaded=loaded)
    packages = api.control.settings.home / "packages"
    for digest in (api.control.catalog.models.version(version["id"]).sha, converted):
        (packages / digest / "files").mkdir(parents=True)
        (packages / digest).chmod(0o500)
    assert len(api.blobs_kept()) == 2
    api.call("DELETE", "/v1/models/fraud")
    assert api.blobs_kept() == []
    assert list(packages.iterdir()) == []


def test_an_event_that_cannot_be_written_spoils_nothing(api) -> None:
    catalog = Broken(api.control.catalog, "journal.add_event", NotFound("gone"))
    assert replace(api, control=replace(api.control, catalog=catalog)).upload()["number"] == 1
