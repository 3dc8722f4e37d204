"""The control API as a process, with real sockets: how it starts, answers, is ended, and starts again."""

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from trivet.catalog import open_catalog
from trivet.domain.frameworks import Runtime
from trivet.domain.schema import parse_schema
from trivet.domain.version import LoadedModel, VersionStatus
from trivet.settings import Settings, settings_to_json
from trivet.wiring.credential_files import read_credentials
from trivet.wiring.gateway_questions import FLUSH_S
from trivet_tests.peers import SECRET


@dataclass(kw_only=True)
class Process:
    """One control process, started as the platform starts it."""

    home: Path
    said: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    infer_url: str = "http://127.0.0.1:8080"
    listener: socket.socket
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def start(self) -> "Process":
        settings = Settings(home=self.home, **self.said)
        config = {
            "settings": settings_to_json(settings),
            "listeners": {"control": self.listener.fileno()},
            "lifeline": None,
            "infer_url": self.infer_url,
            "parent": os.getpid(),
            "secret": SECRET,
            "credentials": read_credentials(settings, self.environ, first=True).to_json(),
        }
        environ = {name: value for name, value in os.environ.items() if name != "TRIVET_TOKEN"}
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trivet.wiring.child", "control"],
                stdin=subprocess.PIPE,
                stderr=log,
                pass_fds=[self.listener.fileno()],
                env={**environ, **self.environ},
            )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(config).encode() + b"\n")
        self.process.stdin.close()
        return self

    def answering(self) -> "Process":
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def client(self) -> httpx.Client:
        token = (self.home / "token").read_text().strip()
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=20)

    def log(self) -> str:
        return (self.home / "log").read_text()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


@pytest.fixture
def empty_home(tmp_path: Path) -> Path:
    """A home of the test's own."""
    (tmp_path / "home" / "run").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def started_home(empty_home: Path, first_catalog: Path) -> None:
    """The same home after a first start."""
    shutil.copy(first_catalog, empty_home / "catalog.db")


@pytest.fixture
def process_in(empty_home: Path) -> Iterator[Callable[..., Process]]:
    """`process_in()` is a control process in a home of the test's own."""
    home = empty_home
    made: list[Process] = []

    def make(
        *, environ: dict[str, str] | None = None, infer_url: str = "http://127.0.0.1:8080", **said: Any
    ) -> Process:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        made.append(
            Process(home=home, said=said, environ=environ or {}, infer_url=infer_url, listener=listener).start()
        )
        return made[-1]

    yield make
    for each in made:
        if each.process is not None and each.process.poll() is None:
            each.process.kill()
            each.process.wait(timeout=60)
        each.listener.close()


def begin_upload(process: Process, *, announced: dict[str, Any], size: int) -> socket.socket:
    """A connection on which half of an upload has been sent."""
    connection = socket.create_connection(process.listener.getsockname(), timeout=40)
    token = (process.home / "token").read_text().strip()
    head = f"PUT {announced['url']} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode() + b"x" * (size // 2))
    return connection


def blobs_in(home: Path) -> list[str]:
    return [path.name for path in (home / "blobs").iterdir()] if (home / "blobs").exists() else []


def until(condition: Callable[[], bool], *, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


PAIR = parse_schema("x: float32[2]")
ANNOUNCED = {"name": "fraud", "file_name": "a.onnx", "framework": "onnx"}


def test_it_starts_in_an_empty_home_and_ends_on_a_signal(process_in) -> None:
    process = process_in().answering()
    assert stat.S_IMODE((process.home / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE((process.home / "uploads").stat().st_mode) == 0o700
    with process.client() as client:
        assert client.get("/v1/workspaces").json()["workspaces"][0]["name"] == "default"
    assert process.stop() == 0
    assert process.log() == ""


@pytest.mark.usefixtures("started_home")
def test_what_was_acknowledged_survives_a_kill(process_in) -> None:
    process = process_in().answering()
    with process.client() as client:
        url = client.post("/v1/uploads", json=ANNOUNCED).json()["url"]
        version = client.put(url, content=b"bytes").json()
    process.process.kill()
    process.process.wait(timeout=60)
    process.start().answering()
    with process.client() as client:
        assert client.get(f"/v1/versions/{version['uuid']}").json() == version
    assert blobs_in(process.home) == [version["sha"]]


@pytest.mark.usefixtures("started_home")
def test_an_upload_interrupted_by_a_kill_can_be_sent_again(process_in) -> None:
    process = process_in().answering()
    with process.client() as client:
        announced = client.post("/v1/uploads", json=ANNOUNCED).json()
    with begin_upload(process, announced=announced, size=2**20):
        until(lambda: bool(blobs_in(process.home)))
        process.process.kill()
        process.process.wait(timeout=60)
    (process.home / "uploads" / "left.form").write_bytes(b"x")
    process.start().answering()
    with process.client() as client:
        version = client.put(announced["url"], content=b"x" * 2**20).json()
        assert client.get("/v1/models/fraud").json()["versions"] == 1
    assert blobs_in(process.home) == [version["sha"]]
    assert list((process.home / "uploads").iterdir()) == []


@pytest.mark.usefixtures("started_home")
def test_an_upload_interrupted_by_its_client_leaves_nothing(process_in) -> None:
    process = process_in().answering()
    with process.client() as client:
        announced = client.post("/v1/uploads", json=ANNOUNCED).json()
        with begin_upload(process, announced=announced, size=2**20):
            until(lambda: bool(blobs_in(process.home)))
        until(lambda: not blobs_in(process.home))
        assert client.get("/v1/models").json()["models"] == []
    assert process.stop() == 0
    assert "Traceback" not in process.log()


@pytest.mark.usefixtures("started_home")
def test_a_stop_waits_for_a_running_upload_but_not_for_a_stalled_one(process_in) -> None:
    process = process_in(drain_s=1.0).answering()
    with process.client() as client:
        announced = client.post("/v1/uploads", json=ANNOUNCED).json()
    with begin_upload(process, announced=announced, size=2**20):
        until(lambda: bool(blobs_in(process.home)))
        begun = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - begun < 18.0
    assert blobs_in(process.home) == []

    process.said["drain_s"] = 20.0
    process.start().answering()
    connection = begin_upload(process, announced=announced, size=2**20)
    with connection:
        until(lambda: bool(blobs_in(process.home)))
        ending = threading.Thread(target=process.stop)
        ending.start()
        time.sleep(0.5)
        connection.sendall(b"x" * (2**20 // 2))
        answer = connection.recv(4096)
        ending.join(timeout=30)
    assert b" 201 " in answer.partition(b"\r\n")[0] + b" "
    assert process.process.returncode == 0


@pytest.mark.usefixtures("started_home")
def test_a_second_signal_cuts_a_running_upload(process_in) -> None:
    process = process_in(drain_s=50.0).answering()
    with process.client() as client:
        announced = client.post("/v1/uploads", json=ANNOUNCED).json()
    with begin_upload(process, announced=announced, size=2**20):
        until(lambda: bool(blobs_in(process.home)))
        process.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)  # two signals at once are one
        begun = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - begun < 20
    assert blobs_in(process.home) == []
    assert "Traceback" not in process.log()


@pytest.mark.usefixtures("started_home")
def test_a_stop_does_not_wait_for_those_who_wait_for_events(process_in) -> None:
    process = process_in(drain_s=25.0).answering()
    answers: list[int] = []

    def wait() -> None:
        with process.client() as client:
            answers.append(client.get("/v1/events?wait_s=20").status_code)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)
    begun = time.monotonic()
    assert process.stop() == 0
    waiting.join(timeout=60)
    assert time.monotonic() - begun < 18.0
    assert answers == [200]


@pytest.mark.usefixtures("started_home")
def test_it_is_ready_once_supervisor_and_gateway_answer(process_in) -> None:
    process = process_in().answering()
    answer = httpx.get(f"{process.url}/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "ready"
    assert answer.json()["gateway"] == answer.json()["supervisor"] == "it does not answer"
    doors = []
    for part in ("supervisor", "gateway"):
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.bind(str(process.home / "run" / f"{part}.sock"))
        door.listen(8)
        doors.append(door)
    # The kernel accepts connections to a process that hangs.
    hanging = httpx.get(f"{process.url}/readyz", timeout=60).json()
    assert hanging["gateway"] == hanging["supervisor"] == "it does not answer"

    def greet(door: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                with door.accept()[0] as connection, contextlib.suppress(ConnectionError):
                    # What is closed with bytes that were not read resets the other end, which loses the greeting.
                    connection.recv(len(SECRET), socket.MSG_WAITALL)
                    connection.sendall(b"{}\n")

    threads = [threading.Thread(target=greet, args=[door], daemon=True) for door in doors]
    for thread in threads:
        thread.start()
    assert httpx.get(f"{process.url}/readyz", timeout=60).status_code == 200
    for door in doors:
        door.shutdown(socket.SHUT_RDWR)
        door.close()


def deployed(process: Process) -> None:
    """A pipeline `pipe` that is wanted running, written down as the supervisor and a user would."""
    with process.client() as client:
        url = client.post("/v1/uploads", json=ANNOUNCED).json()["url"]
        version = client.put(url, content=b"bytes").json()
        catalog = open_catalog(f"sqlite:///{process.home}/catalog.db")
        loaded = LoadedModel(runtime=Runtime.NATIVE, adapter="onnx", input_schema=PAIR, output_schema=PAIR)
        catalog.models.set_status(version["id"], VersionStatus.READY, loaded=loaded)
        catalog.close()
        client.post("/v1/pipelines", json={"name": "pipe"})
        body = {"steps": [{"step": "model", "version": version["uuid"]}]}
        assert client.post("/v1/pipelines/pipe/deploy", json=body).status_code == 202


@pytest.mark.usefixtures("started_home")
def test_readiness_says_when_the_package_of_a_deployed_model_is_gone(process_in) -> None:
    process = process_in().answering()
    deployed(process)
    for blob in (process.home / "blobs").iterdir():
        blob.unlink()
    answer = httpx.get(f"{process.url}/readyz", timeout=60)
    assert answer.status_code == 503
    assert (answer.json()["database"], answer.json()["packages"]) == ("ready", "a deployed model's package is missing")


@pytest.mark.usefixtures("started_home")
def test_readiness_says_when_the_database_file_is_gone(process_in) -> None:
    process = process_in().answering()
    with process.client() as client:
        assert client.get("/v1/models").status_code == 200
    for file in process.home.glob("catalog.db*"):
        file.unlink()
    assert httpx.get(f"{process.url}/readyz", timeout=60).json()["database"] == "the catalog's database file is gone"


@pytest.mark.usefixtures("started_home")
def test_logs_are_read_once_the_gateway_says_that_they_are_written(process_in) -> None:
    process = process_in().answering()
    deployed(process)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door, process.client() as client:
        door.bind(str(process.home / "run" / "gateway.sock"))
        door.listen(8)

        def answer() -> None:
            with door.accept()[0] as connection, connection.makefile("rwb") as lines:
                assert lines.read(len(SECRET)).decode() == SECRET
                asked = json.loads(lines.readline())
                report = {"kind": "report", "gateway": "g", "number": 0, "states": []}
                for said in (report, {"kind": "flushed", "token": "another"}, {**asked, "kind": "flushed"}):
                    lines.write(json.dumps(said).encode() + b"\n")
                lines.flush()
                said_at = time.monotonic()
                assert not lines.read()
                hung_up_after_s.append(time.monotonic() - said_at)

        hung_up_after_s: list[float] = []
        answering = threading.Thread(target=answer)
        answering.start()
        assert client.get("/v1/pipelines/pipe/logs").status_code == 200
        answering.join(timeout=60)
    # Less than it would have waited for one that says nothing.
    assert hung_up_after_s
    assert hung_up_after_s[0] < 0.75 * FLUSH_S


@pytest.mark.usefixtures("started_home")
def test_another_token_can_be_given_and_is_not_written_down(process_in) -> None:
    process = process_in(environ={"TRIVET_TOKEN": "chosen-by-somebody"}).answering()
    headers = {"Authorization": "Bearer chosen-by-somebody"}
    assert httpx.get(f"{process.url}/v1/models", headers=headers).status_code == 200
    assert not (process.home / "token").exists()


@pytest.mark.usefixtures("started_home")
def test_names_that_are_configured_are_answered_and_others_are_not(process_in) -> None:
    process = process_in(hosts=("trivet.example", "This-Machine")).answering()

    def status(host: str) -> int:
        return httpx.get(f"{process.url}/healthz", headers={"Host": host}).status_code

    assert [status(host) for host in ("trivet.example", "this-machine:8000")] == [200, 200]
    assert [status(host) for host in ("evil.example", "other-machine.example")] == [421, 421]


def test_an_unusable_database_is_an_error_without_its_password(process_in) -> None:
    process = process_in(database_url="postgresql://me:hunter2@127.0.0.1:1/trivet")
    assert process.process.wait(timeout=60) == 1
    assert "error: the catalog cannot be reached" in process.log()
    assert "hunter2" not in process.log()


def test_it_works_on_postgresql(process_in, postgres_url: str) -> None:
    process = process_in(database_url=postgres_url).answering()
    with process.client() as client:
        assert client.get("/v1/platform").json()["database"] == "postgresql"
        url = client.post("/v1/uploads", json=ANNOUNCED).json()["url"]
        assert client.put(url, content=b"bytes").status_code == 201
        for path in ("/v1/models/a%00b", "/v1/pipelines/p?workspace=a%00b", "/v1/versions/a%00b"):
            assert client.get(path).status_code == 400
    assert process.stop() == 0


@pytest.mark.usefixtures("started_home")
def test_it_speaks_tls(process_in, tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            f"{key}",
            "-out",
            f"{cert}",
        ],
        capture_output=True,
        timeout=60,
        check=False,
    )
    if made.returncode:
        pytest.skip("there is no openssl that makes a certificate")
    process = process_in(tls_cert=cert, tls_key=key)
    context = ssl.create_default_context(cafile=str(cert))
    url = process.url.replace("http:", "https:")

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/healthz", verify=context, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    until(answers, within_s=30)
