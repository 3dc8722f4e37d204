"""Routes as a supervisor offers them, over real ONNX models and real workers, and clients of the gateway."""

import asyncio
import hashlib
import inspect
import json
import os
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import msgspec
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from trivet.domain.digest import digest_of_bytes
from trivet.domain.encoding import encode
from trivet.domain.package import EntryPoint
from trivet.domain.routes import NativeStep, Route, RouteTable, WorkerAddress, WorkerStep
from trivet.engine.limits import EngineLimits
from trivet.engine.native.shared import NativeSessions
from trivet.gateway.deployments import ServedDeployments
from trivet.gateway.doors.table import open_doors
from trivet.gateway.formats.examples import example_maker
from trivet.gateway.http.app import GatewayApp
from trivet.gateway.loading import Loader
from trivet.gateway.pipelines import Pipelines
from trivet.workers import ProcessLauncher, WorkerFiles, WorkerSpec
from trivet_tests.asgi import request_scope

X = pa.schema([pa.field("x", pa.int64(), nullable=False)])
Y = pa.schema([pa.field("y", pa.int64(), nullable=False)])


def write_times(path: Path, factor: int, *, takes: str = "x", gives: str = "y", divides: bool = False) -> Path:
    """`y = factor * x` over int64, or `y = factor / x`."""
    operands = ["factor", takes]
    graph = helper.make_graph(
        [helper.make_node("Div" if divides else "Mul", operands, [gives])],
        "graph",
        [helper.make_tensor_value_info(takes, TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info(gives, TensorProto.INT64, ["N"])],
        [helper.make_tensor("factor", TensorProto.INT64, [], [factor])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


class Offers:
    """Makes routes; the digest is of everything in a route but its workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def times(
        self,
        factor: int,
        *,
        name: str = "times",
        takes: str = "x",
        gives: str = "y",
        divides: bool = False,
        **about: Any,
    ) -> NativeStep:
        """A native step that multiplies, or divides."""
        path = self.folder / f"times-{factor}-{takes}-{gives}-{divides}.onnx"
        if not path.exists():
            write_times(path, factor, takes=takes, gives=gives, divides=divides)
        return NativeStep(
            name=name,
            version=f"model-version-{factor}",
            version_id=abs(factor),
            sha=hashlib.sha256(path.read_bytes()).hexdigest(),
            framework="onnx",
            **{
                "path": str(path),
                "output_schema": pa.schema([pa.field(gives, pa.int64(), nullable=False)]),
                **about,
            },
        )

    def route(
        self, *steps: Any, pipeline: str = "p", deployment_id: int = 1, workspace_id: int = 1, **about: Any
    ) -> Route:
        """A pipeline of steps."""
        bare = Route(
            deployment_id=deployment_id,
            pipeline=pipeline,
            workspace_id=workspace_id,
            pipeline_version=f"version of {','.join(step.version for step in steps)}",
            digest="",
            steps=tuple(
                msgspec.structs.replace(step, workers=(), stuck=None) if isinstance(step, WorkerStep) else step
                for step in steps
            ),
            log_inferences=False,
            **about,
        )
        digest = hashlib.sha256(encode(bare)).hexdigest()
        return msgspec.structs.replace(bare, digest=digest, steps=steps)

    def table(self, number: int, *routes: Route) -> RouteTable:
        """Everything that shall be served."""
        return RouteTable(number=number, routes=routes)


class Stand:
    """A gateway and its routing in this process, for as long as the test's loop runs."""

    def __init__(self) -> None:
        self.pipelines = Pipelines(waits=True)
        doors = open_doors(self.pipelines, partition="here")
        self.app = GatewayApp(self.pipelines, doors, max_body=2**20)
        self.loader = Loader(NativeSessions(example_maker), limits=EngineLimits(timeout_s=20))
        self.routing = ServedDeployments(self.pipelines, self.loader)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.routing.close()

    async def ask(self, x: int, *, path: str = "/pipelines/p/infer", key: str = "x") -> tuple[int, Any]:
        """A status, and the first row of the answer or the error."""
        status, body = await self.ask_rows([{key: x}], path=path)
        return status, body[0] if status == 200 else body

    async def ask_rows(self, rows: Any, *, path: str = "/pipelines/p/infer", query: str = "") -> tuple[int, Any]:
        """A status, and the answer or the error."""
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"type": "http.request", "body": json.dumps(rows).encode(), "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(request_scope(path, query=query.encode()), receive, send)
        return sent[0]["status"], json.loads(bytes(sent[1]["body"]))

    async def get(self, path: str) -> tuple[int, Any]:
        """A status and a page."""
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(request_scope(path, method="GET", headers=()), None, send)
        return sent[0]["status"], json.loads(bytes(sent[1]["body"]))

    async def until(self, condition: Callable[[], Any], *, within_s: float = 60.0) -> None:
        """Wait for something to become so."""
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.005)

    def state(self, deployment_id: int = 1) -> Any:
        """What is reported of a deployment."""
        return next((each for each in self.routing.states() if each.deployment_id == deployment_id), None)

    async def serves(self, route: Route) -> None:
        """Wait until a route answers and nothing else of its deployment is needed."""
        await self.until(
            lambda: (
                (state := self.state(route.deployment_id)) is not None
                and (state.state, state.serving, state.using) == ("serving", route.digest, (route.digest,))
            )
        )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a coroutine in its own event loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def offers(tmp_path: Path) -> Offers:
    return Offers(tmp_path)


@pytest.fixture
def stand() -> type[Stand]:
    return Stand


class Workers:
    """Real workers, started as the supervisor does, in a loop of the test."""

    def __init__(self, folder: Path, short: Path) -> None:
        self.folder = folder
        self.packages: dict[str, Path] = {}
        self.launcher = ProcessLauncher(
            environ=dict(os.environ),
            home=folder / "home",
            files=lambda spec: WorkerFiles(python=Path(sys.executable), package=self.packages[spec.package]),
            temporary=short,
        )
        self.count = 0

    async def start(self, source: str) -> tuple[Any, WorkerAddress]:
        """A worker that runs a `process_data`, and its address."""
        self.count += 1
        package = self.folder / f"package-{self.count}"
        package.mkdir()
        (package / "step.py").write_text(textwrap.dedent(source))
        digest = digest_of_bytes(str(package).encode())
        self.packages[digest] = package
        spec = WorkerSpec(
            name="step",
            package=digest,
            environment=digest_of_bytes(sys.version.encode()),
            adapter="python",
            entry={"function": EntryPoint(file="step.py", name="process_data", line=1)},
            input_schema=X,
            output_schema=Y,
            load_timeout_s=60,
        )
        worker = await self.launcher.start(spec)
        return worker, worker.address


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    # A socket's path is short, and pytest's folders have long names.
    with tempfile.TemporaryDirectory(prefix="tt-") as short:
        yield Workers(tmp_path, Path(short))


@pytest.fixture
def isolated() -> Callable[..., WorkerStep]:
    """A step that workers run."""

    def make(*addresses: WorkerAddress, version: str = "step-version", **about: Any) -> WorkerStep:
        return WorkerStep(
            name="step",
            version=version,
            version_id=1,
            sha="ab" * 32,
            framework="python",
            input_schema=X,
            output_schema=Y,
            workers=addresses,
            **about,
        )

    return make
