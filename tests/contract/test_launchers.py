"""The contract of launchers: processes on Unix sockets, processes on TCP with TLS, and the fake of the unit tests."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psutil
import pyarrow as pa
import pytest
from pyarrow import flight

from contracts.launchers import WROTE, Behaviour, LauncherContract
from trivet.domain.digest import digest_of_bytes
from trivet.domain.package import EntryPoint
from trivet.engine.batch import Batch
from trivet.engine.limits import EngineLimits
from trivet.engine.pool import WorkerPool
from trivet.engine.served import predict
from trivet.workers import Launcher, Network, ProcessLauncher, WorkerFiles, WorkerSpec
from trivet_tests.in_process_launcher import InProcessLauncher, InProcessWorkers

NUMBERS = pa.schema([pa.field("x", pa.int64(), nullable=False)])
CUSTOM = """
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder

class Same(Inference):
    @property
    def expected_model_types(self):
        return {{int}}

    def _predict(self, input_data):
        return {{"x": input_data["x"]}}

class SameBuilder(InferenceBuilder):
    @property
    def inference(self):
        return Same

    def create(self, config):
        import time
        print({wrote!r}, flush=True)
        {load}
        made = self.inference()
        made.model = 1
        return made
"""
LOADS: dict[Behaviour, str] = {
    "works": "",
    "does not load": "raise RuntimeError('not today')",
    "loads for ever": "time.sleep(1000)",
}


def spec_of(behaviour: Behaviour) -> WorkerSpec:
    return WorkerSpec(
        name=behaviour.replace(" ", "-"),
        package=digest_of_bytes(behaviour.encode()),
        environment=digest_of_bytes(sys.version.encode()),
        adapter="custom",
        entry={
            "inference": EntryPoint(file="model.py", name="Same", line=1),
            "builder": EntryPoint(file="model.py", name="SameBuilder", line=1),
        },
        input_schema=NUMBERS,
        output_schema=NUMBERS,
        load_timeout_s=60,
        fleet="1-fleet",
    )


class TestProcesses(LauncherContract):
    network: Network | None = None

    @asynccontextmanager
    async def launchers(self, folder: Path) -> AsyncIterator[Callable[[], Launcher]]:
        def files(spec: WorkerSpec) -> WorkerFiles:
            return WorkerFiles(python=Path(sys.executable), package=folder / spec.package)

        held, lifeline = os.pipe()
        # A socket's path is short, and pytest's folders have long names.
        with tempfile.TemporaryDirectory(prefix="tt-") as short:
            try:
                yield lambda: ProcessLauncher(
                    environ=dict(os.environ),
                    home=folder / "home",
                    files=files,
                    temporary=Path(short),
                    lifeline=held,
                    records=folder / "records",
                    network=self.network,
                )
            finally:
                os.close(lifeline)
                os.close(held)

    def spec(self, folder: Path, behaviour: Behaviour) -> WorkerSpec:
        spec = spec_of(behaviour)
        package = folder / spec.package
        package.mkdir(exist_ok=True)
        (package / "model.py").write_text(CUSTOM.format(wrote=WROTE, load=LOADS[behaviour]))
        return spec

    def test_only_a_call_with_the_token_is_answered(self, tmp_path: Path) -> None:
        async def story(make: Callable[[], Launcher]) -> None:
            worker = await make().start(self.spec(tmp_path, "works"))
            pool = WorkerPool(input_schema=NUMBERS, output_schema=NUMBERS, batching="joined", limits=EngineLimits())
            pool.attach(worker)
            rows = pa.RecordBatch.from_arrays([pa.array([1, 2])], schema=NUMBERS)
            answer = await predict(pool, Batch.of_record_batch(rows))
            assert answer.record_batch().column(0).to_pylist() == [1, 2]
            for token in ("", "0" * 64, worker.address.token[:-1]):
                with pytest.raises(flight.FlightUnauthenticatedError):
                    await asyncio.to_thread(_ask, msgspec.structs.replace(worker.address, token=token))
            await pool.close()
            await worker.stop(5)

        self.run(tmp_path, story)

    def test_no_secret_is_readable_by_others_or_in_arguments(self, tmp_path: Path) -> None:
        async def story(make: Callable[[], Launcher]) -> None:
            worker = await make().start(self.spec(tmp_path, "works"))
            token = worker.address.token.encode()
            for process in map(psutil.Process, (int(worker.address.handle["pid"]), worker.pid)):
                assert token.decode() not in str([process.cmdline(), process.environ()])
            (record,) = (tmp_path / "records").glob("*.json")
            assert token in record.read_bytes()
            assert record.stat().st_mode & 0o777 == 0o600
            assert token.decode() not in repr(worker.address)
            await worker.stop(5)

        self.run(tmp_path, story)


class TestProcessesOnTls(TestProcesses):
    @pytest.fixture(autouse=True)
    def _certificate(self, tmp_path: Path) -> None:
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
            ],
            check=True,
            capture_output=True,
        )
        pem = certificate.read_text()
        self.network = Network(host="localhost", certificate=pem, key=key.read_text(), ca=pem)


class TestInProcess(LauncherContract):
    @asynccontextmanager
    async def launchers(self, folder: Path) -> AsyncIterator[Callable[[], Launcher]]:
        workers = InProcessWorkers()
        workers.failing.add("does-not-load")
        workers.hanging.add("loads-for-ever")
        yield lambda: InProcessLauncher(workers, log=f"    {WROTE}")

    def spec(self, folder: Path, behaviour: Behaviour) -> WorkerSpec:
        return spec_of(behaviour)


def _ask(address) -> None:
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {address.token}".encode())])
    with flight.FlightClient(address.location, tls_root_certs=address.ca or None) as client:
        writer, reader = client.do_exchange(flight.FlightDescriptor.for_path(b"predict"), options)
        try:
            writer.begin(NUMBERS)
            reader.read_chunk()
        finally:
            writer.close()
