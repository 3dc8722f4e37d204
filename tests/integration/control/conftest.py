"""The control API on a real catalog and a real blob store, called as any ASGI server calls it."""

import asyncio
import io
import shutil
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pyarrow as pa
import pytest
from fastapi import FastAPI

from trivet.blobs import open_blobs
from trivet.catalog import open_catalog
from trivet.control.app import routes_of
from trivet.control.context import Control
from trivet.control.http.access import Access
from trivet.control.http.body_reading import JsonBodies
from trivet.control.streaming import UploadThreads
from trivet.domain.access import OWNER, callers_of
from trivet.domain.frameworks import Runtime
from trivet.domain.machines import Machine
from trivet.domain.own_hosts import OwnHosts
from trivet.domain.pipeline import Validation
from trivet.domain.schema import parse_schema
from trivet.domain.version import Architecture, LoadedModel, ModelVersion, VersionStatus
from trivet.errors import Invalid
from trivet.settings import Settings
from trivet_tests.peers import peers_in

T = TypeVar("T")
TOKEN = "0123456789abcdef0123456789abcdef"
PAIR = parse_schema("x: float32[2]")


def a_zip(**files: str) -> bytes:
    """A zip with files of text, named like its arguments."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.py", text)
    return sink.getvalue()


class PartsOfTest:
    """The parts of the control plane that is in use: routes take long to build, so all tests share theirs."""

    def __init__(self) -> None:
        self.current: Control | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.current, name)


@dataclass(kw_only=True)
class Api:
    """One control plane, and requests to it."""

    control: Control
    parts: PartsOfTest
    routes: FastAPI
    token: str = TOKEN
    silent: dict[str, str] = field(default_factory=dict)
    flushes: list[int] = field(default_factory=list)

    async def without_access(self, scope: Any, receive: Any, send: Any) -> None:
        """The application without the check of a token."""
        self.parts.current = self.control
        await JsonBodies(self.routes, within_s=self.control.settings.client_timeout_s)(scope, receive, send)

    @property
    def app(self) -> Any:
        """The application, access included."""
        return Access(self.without_access, callers=callers_of({self.token: OWNER}), hosts=OwnHosts())

    @asynccontextmanager
    async def client(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """Requests with the token, for several at a time."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        said = {"Authorization": f"Bearer {TOKEN}", **headers}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=said) as client:
            yield client

    def run(self, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
        """Something with a client."""

        async def whole() -> T:
            async with self.client() as client:
                return await work(client)

        return asyncio.run(whole())

    def ask(self, method: str, path: str, **said: Any) -> httpx.Response:
        """One request with the token."""

        async def one(client: httpx.AsyncClient) -> httpx.Response:
            return await client.request(method, path, **said)

        return self.run(one)

    def call(self, method: str, path: str, **said: Any) -> Any:
        """One request that goes well; what it says."""
        answer = self.ask(method, path, **said)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def refused(self, status: int, method: str, path: str, **said: Any) -> dict[str, Any]:
        """One request that does not; what it says."""
        answer = self.ask(method, path, **said)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        body: dict[str, Any] = answer.json()
        assert body["code"] == status
        assert body["status"] == "error"
        assert body["request_id"]
        return body

    def announce(self, name: str = "fraud", **said: Any) -> dict[str, Any]:
        """An upload that waits for its bytes."""
        body = {"name": name, "file_name": f"{name}.onnx", "framework": "onnx", **said}
        announced: dict[str, Any] = self.call("POST", "/v1/uploads", json=body)
        return announced

    def upload(self, name: str = "fraud", content: bytes = b"\x08\x08onnx", **said: Any) -> dict[str, Any]:
        """A version that nobody has loaded yet."""
        version: dict[str, Any] = self.call("PUT", self.announce(name, **said)["url"], content=content)
        return version

    def ready(
        self, name: str = "fraud", *, inputs: pa.Schema = PAIR, outputs: pa.Schema = PAIR, **said: Any
    ) -> dict[str, Any]:
        """A version that was loaded."""
        version = self.upload(name, **said)
        self.load(version["id"], inputs=inputs, outputs=outputs)
        return self.call("GET", f"/v1/versions/{version['uuid']}")

    def load(self, version_id: int, *, inputs: pa.Schema = PAIR, outputs: pa.Schema = PAIR) -> ModelVersion:
        """What the supervisor says once a trial went well."""
        loaded = LoadedModel(runtime=Runtime.NATIVE, adapter="onnx", input_schema=inputs, output_schema=outputs)
        return self.control.catalog.models.set_status(version_id, VersionStatus.READY, loaded=loaded)

    def deploy(self, pipeline: str, *versions: dict[str, Any], **said: Any) -> dict[str, Any]:
        """A pipeline that somebody wants running."""
        self.call("POST", "/v1/pipelines", json={"name": pipeline})
        steps = [{"step": "model", "version": version["uuid"]} for version in versions]
        answer: dict[str, Any] = self.call("POST", f"/v1/pipelines/{pipeline}/deploy", json={"steps": steps, **said})
        return answer

    def blobs_kept(self) -> list[str]:
        """Names of everything in the blob store and among announced uploads, unfinished things too."""
        return sorted(path.name for path in (self.control.settings.home / "blobs").iterdir())

    def with_settings(self, **said: Any) -> "Api":
        """The same with other settings."""
        return replace(self, control=replace(self.control, settings=replace(self.control.settings, **said)))


def check_validations(validations: Sequence[Validation], kinds: Mapping[str, pa.DataType]) -> None:
    """Keeps the contract of `engine.checks.validations.check_validations`."""
    for each in validations:
        if not each.expression.startswith("{"):
            raise Invalid("this is not an expression", fix="send polars' JSON form")


@pytest.fixture(scope="session")
def zip_of() -> Callable[..., bytes]:
    """`zip_of(step="…")` is a zip with `step.py`."""
    return a_zip


@pytest.fixture(scope="session")
def routes() -> tuple[PartsOfTest, FastAPI]:
    """The routes of the control plane that is in use."""
    parts: Any = PartsOfTest()
    return parts, routes_of(parts)


@pytest.fixture
def api(tmp_path: Path, first_catalog: Path, routes: tuple[PartsOfTest, FastAPI]) -> Iterator[Api]:
    """A control plane of the test's own, in an empty home."""
    (tmp_path / "uploads").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "blobs").mkdir()
    shutil.copy(first_catalog, tmp_path / "catalog.db")
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db")
    silent: dict[str, str] = {}
    flushes: list[int] = []

    def flush() -> None:
        flushes.append(1)

    control = Control(
        catalog=catalog,
        blobs=open_blobs(None, home=tmp_path),
        settings=Settings(home=tmp_path),
        peers=peers_in(tmp_path / "run"),
        infer_url="http://127.0.0.1:8080",
        check_validations=check_validations,
        flush_logs=flush,
        probe=lambda: silent,
        machine=Machine(arch=Architecture.X86),
        threads=UploadThreads(stall_s=5.0),
    )
    yield Api(control=control, parts=routes[0], routes=routes[1], silent=silent, flushes=flushes)
    control.threads.close()
    catalog.close()
