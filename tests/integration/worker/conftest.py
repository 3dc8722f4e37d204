"""Small packages, and real workers that run them."""

import asyncio
import json
import os
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import flight

from trivet.domain.digest import Digest, digest_of_bytes
from trivet.domain.package import EntryPoint
from trivet.domain.routes import WorkerAddress
from trivet.workers.launcher import RunningWorker
from trivet.workers.processes import ProcessLauncher, WorkerFiles
from trivet.workers.spec import WorkerSpec

NUMBERS = pa.schema([pa.field("x", pa.list_(pa.float32(), 3), nullable=False)])
SUMS = pa.schema([pa.field("y", pa.float32())])

CUSTOM = """
    from mac.config.inference import CustomInferenceConfig
    from mac.inference import Inference
    from mac.inference.creation import InferenceBuilder
    from mac.types import InferenceData
    import os, sys, time, ctypes, signal, threading, subprocess, logging
    import numpy as np

    class Doubler(Inference):
        @property
        def expected_model_types(self):
            return {int}

        def _predict(self, input_data: InferenceData) -> InferenceData:
            PREDICT

    class DoublerBuilder(InferenceBuilder):
        @property
        def inference(self) -> Doubler:
            return Doubler

        def create(self, config: CustomInferenceConfig) -> Doubler:
            CREATE
"""
CREATE = "inference = self.inference()\ninference.model = 2\nreturn inference"
PREDICT = "return {'y': input_data['x'].sum(axis=1) * self.model}"


class Link:
    """One stream to a worker."""

    def __init__(self, address: WorkerAddress, schema: pa.Schema) -> None:
        self._client = flight.FlightClient(address.location, tls_root_certs=address.ca or None)
        self.options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {address.token}".encode())])
        self._writer, self._reader = self._client.do_exchange(
            flight.FlightDescriptor.for_path(b"predict"), self.options
        )
        self._writer.begin(schema)
        self._schema = schema

    def send(self, *columns) -> tuple[dict | None, dict]:
        """Columns in (anything Arrow takes); the answer as a dict of lists, or None, and its metadata."""
        self.begin(*columns)
        chunk = self._reader.read_chunk()
        metadata = json.loads(chunk.app_metadata.to_pybytes())
        return (None if chunk.data is None else chunk.data.to_pydict()), metadata

    def begin(self, *columns) -> None:
        """Send, and wait for nothing."""
        arrays = [
            column if isinstance(column, pa.Array) else pa.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        try:
            self._writer.done_writing()
            self._client.close()
        except (flight.FlightError, pa.ArrowException):
            pass  # the worker is gone, as some tests want


@dataclass(frozen=True)
class Stand:
    """Makes packages and runs them."""

    folder: Path
    home: Path
    python: Path
    short_folder: Path
    roots: dict[str, Path] = field(default_factory=dict)

    def package(self, files: dict[str, str]) -> Path:
        root = self.folder / f"package-{time.monotonic_ns()}"
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(textwrap.dedent(text))
        return root

    def custom(self, *, predict: str = PREDICT, create: str = CREATE, top: str = "", **files: str) -> WorkerSpec:
        """A custom model whose two methods have these bodies."""
        text = textwrap.dedent(CUSTOM)
        text = text.replace("        PREDICT", textwrap.indent(textwrap.dedent(predict), " " * 8))
        text = text.replace("        CREATE", textwrap.indent(textwrap.dedent(create), " " * 8))
        root = self.package({"custom_inference.py": textwrap.dedent(top) + text, **files})
        return self.spec(
            root,
            entry={
                "inference": EntryPoint(file="custom_inference.py", name="Doubler", line=1),
                "builder": EntryPoint(file="custom_inference.py", name="DoublerBuilder", line=1),
            },
        )

    def step(self, text: str, *, file: str = "step.py", **files: str) -> WorkerSpec:
        """A Python step in one file."""
        root = self.package({file: text, **files})
        entry = {"function": EntryPoint(file=file, name="process_data", line=1)}
        return replace(self.spec(root, entry=entry), adapter="python")

    def spec(self, root: Path, *, entry: dict[str, EntryPoint]) -> WorkerSpec:
        return WorkerSpec(
            name="model-under-test",
            package=self.digest(root),
            environment=digest_of_bytes(str(self.python).encode()),
            adapter="custom",
            entry=entry,
            input_schema=NUMBERS,
            output_schema=SUMS,
            load_timeout_s=60,
        )

    def digest(self, root: Path) -> Digest:
        """What a spec calls a package's folder."""
        digest = digest_of_bytes(str(root).encode())
        self.roots[digest] = root
        return digest

    def root(self, spec: WorkerSpec) -> Path:
        """The package's folder."""
        return self.roots[spec.package]

    @property
    def launcher(self) -> ProcessLauncher:
        return self.launcher_with()

    def launcher_with(self, **more: Any) -> ProcessLauncher:
        """A launcher that knows this stand's packages."""
        return ProcessLauncher(
            environ={**os.environ, **more.pop("environ", {})},
            home=more.pop("home", self.home),
            files=lambda spec: WorkerFiles(python=self.python, package=self.root(spec)),
            temporary=self.short_folder,
            **more,
        )

    def link(self, worker: RunningWorker, spec: WorkerSpec) -> Link:
        return Link(worker.address, spec.input_schema)

    def link_to(self, address: WorkerAddress, spec: WorkerSpec) -> Link:
        return Link(address, spec.input_schema)

    def run(self, spec: WorkerSpec, use: Callable[[Link], object]) -> list[str]:
        """Start a worker, use a link to it in a thread, end it; gives the lines of its log."""

        async def main() -> list[str]:
            worker = await self.launcher.start(spec)
            try:
                link = self.link(worker, spec)
                await asyncio.to_thread(use, link)
                await asyncio.to_thread(link.close)
            finally:
                await worker.stop(5)
            return list(worker.log.lines)

        return asyncio.run(main())


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    # A socket's path is short, and pytest's folders have long names.
    with tempfile.TemporaryDirectory(prefix="tt-") as short:
        yield Stand(folder=tmp_path, home=tmp_path / "home", python=Path(sys.executable), short_folder=Path(short))


@pytest.fixture
def row() -> list[list[float]]:
    return np.array([[1, 2, 3]], np.float32).tolist()
