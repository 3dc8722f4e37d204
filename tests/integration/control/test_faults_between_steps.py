"""A catalog or blob store that fails at any one call: a clear error, nothing half-written, and the same again goes well."""

import itertools
import json
import os
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from trivet.control.token import token_of
from trivet.errors import Unavailable

METADATA = {"name": "fraud", "workspace_id": 1, "conversion": {"framework": "onnx"}}


class FailsOnce:
    """A real part of the platform whose nth call cannot be made, to itself or to a part of it.

    Args:
        real: the part.
        nth: the call that fails, from 1.
    """

    def __init__(self, real: Any, nth: int) -> None:
        self._real = real
        self._left = nth
        self.failed: str | None = None

    @property
    def reached(self) -> bool:
        """Whether there were so many calls."""
        return self.failed is not None

    def __getattr__(self, name: str) -> Any:
        return self._counted(name, getattr(self._real, name))

    def _counted(self, name: str, found: Any) -> Any:
        if not callable(found):
            return _Part(self, found) if type(found).__module__.startswith("trivet.catalog.") else found

        def call(*given: Any, **said: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self.failed = name
                raise Unavailable("it cannot be reached", why="injected", fix="try again")
            return found(*given, **said)

        return call


class _Part:
    """A part of a part, whose calls count like those of the whole."""

    def __init__(self, whole: FailsOnce, real: Any) -> None:
        self._whole, self._real = whole, real

    def __getattr__(self, name: str) -> Any:
        return self._whole._counted(name, getattr(self._real, name))


def form(metadata: dict[str, Any], content: bytes = b"\x08\x08onnx") -> dict[str, Any]:
    return {"metadata": (None, json.dumps(metadata), "application/json"), "file": ("cc.onnx", content)}


def faults(real: Any) -> Iterator[FailsOnce]:
    """A part whose first call fails, then the second, and so on; the last one was asked less often than that."""
    for nth in itertools.count(1):
        failing = FailsOnce(real, nth)
        yield failing
        if not failing.reached:
            assert nth > 1, "no call was made"
            return


@pytest.mark.parametrize("part", ["catalog", "blobs"])
def test_an_upload_is_whole_or_can_be_sent_again(api, part: str) -> None:
    for nth, failing in enumerate(faults(getattr(api.control, part))):
        name, content = f"fraud-{nth}", b"\x08\x08onnx%d" % nth
        url = api.announce(name)["url"]
        kept = len(api.blobs_kept())
        answer = replace(api, control=replace(api.control, **{part: failing})).ask("PUT", url, content=content)
        assert answer.status_code == 201 or failing.reached
        if answer.status_code == 201:
            assert name in names(api), failing.failed
            continue
        assert answer.status_code == 503, failing.failed
        assert answer.json()["why"] == "injected"
        assert name not in names(api), failing.failed
        api.call("PUT", url, content=content)
        assert api.call("GET", f"/v1/models/{name}")["versions"] == 1
        assert len(api.blobs_kept()) == kept + 1


@pytest.mark.parametrize("part", ["catalog", "blobs"])
def test_a_failed_form_leaves_nothing_unnamed(api, part: str) -> None:
    for nth, failing in enumerate(faults(getattr(api.control, part))):
        metadata = {**METADATA, "name": f"fraud-{nth}"}
        broken = replace(api, control=replace(api.control, **{part: failing}))
        answer = broken.ask("POST", "/v1/api/models/upload_and_convert", files=form(metadata))
        assert answer.status_code == 202 or failing.reached
        assert (answer.status_code, metadata["name"] in names(api)) in {(202, True), (503, False)}, failing.failed
        assert list(api.control.uploads.iterdir()) == []


def names(api: Any) -> list[str]:
    """Of all models."""
    return [model["name"] for model in api.call("GET", "/v1/models")["models"]]


def test_a_deploy_is_whole_or_did_not_happen(api) -> None:
    version = api.ready()
    before = api.deploy("pipe", version)
    steps = [{"step": "model", "version": version["uuid"]}]
    for failing in faults(api.control.catalog):
        broken = replace(api, control=replace(api.control, catalog=failing))
        answer = broken.ask("POST", "/v1/pipelines/pipe/deploy", json={"steps": steps})
        versions = api.call("GET", "/v1/pipelines/pipe")["versions"]
        wanted = api.call("GET", "/v1/pipelines/pipe/deployment")["deployment"]
        assert answer.status_code == 202 or failing.reached
        if answer.status_code == 202:
            assert wanted["pipeline_version"] == versions[0]["uuid"] == answer.json()["pipeline_version"]["uuid"]
            assert wanted["generation"] == before["deployment"]["generation"] + 1
            before = answer.json()
            continue
        assert answer.status_code == 503, failing.failed
        assert versions[0]["uuid"] == before["pipeline_version"]["uuid"], failing.failed
        assert wanted == before["deployment"]


def test_a_form_whose_file_is_refused_leaves_no_announcement(api) -> None:
    metadata = {**METADATA, "conversion": {"framework": "custom"}}
    answer = api.ask("POST", "/v1/api/models/upload_and_convert", files=form(metadata, b"no zip at all"))
    assert answer.status_code == 400
    assert "Not a valid ZIP file" in answer.text
    assert list(api.control.uploads.iterdir()) == []


@pytest.mark.parametrize(
    "workspace", ["²", "\N{FULLWIDTH DIGIT NINE}", "1" * 5000, "-1", "1e3", "\N{KHAROSHTHI DIGIT ONE}"]
)
def test_a_workspace_that_only_resembles_a_number_is_not_there(api, workspace: str) -> None:
    data = {"name": "fraud", "workspace_id": workspace}
    api.refused(404, "POST", "/v1/api/models/upload_stream", data=data, files={"file": ("cc.onnx", b"\x08\x08")})


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://[]", "http://evil.example@localhost", "//", ""])
def test_an_origin_that_is_none_is_refused_without_a_fault_of_ours(api, origin: str) -> None:
    for headers in ({"Origin": origin}, {"Origin": origin, "Authorization": "Bearer wrong"}):
        assert api.refused(403, "GET", "/v1/models", headers=headers)["reason"] == "foreign_origin"


def test_a_host_with_a_user_before_it_is_not_ours(api) -> None:
    assert api.ask("GET", "/healthz", headers={"Host": "evil.example@localhost"}).status_code == 421


def test_a_token_is_not_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("x" * 40)
    (tmp_path / "token").symlink_to(tmp_path / "other")
    with pytest.raises(Unavailable):
        token_of(tmp_path, {})


def test_a_hundred_megabytes_pass_through_without_being_held(api) -> None:
    mebibytes = 100

    async def content() -> AsyncIterator[bytes]:
        # Each block is an object of its own: holding one of them a hundred times would hold nothing.
        for _ in range(mebibytes):
            yield os.urandom(2**20)

    async def send(client: httpx.AsyncClient) -> httpx.Response:
        return await client.put(url, content=content())

    url = api.announce(size=mebibytes * 2**20)["url"]
    tracemalloc.start()
    try:
        assert api.run(send).status_code == 201
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * 2**20
