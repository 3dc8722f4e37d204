"""The gateway as a process: the messages on its socket, its files, its end and its restart."""

import http.client
import json
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from trivet.domain.encoding import decode, encode
from trivet.domain.routes import Flushed, FlushLogs, GatewayMessage, GatewayReport
from trivet.settings import Settings
from trivet_tests.gateway import GatewayProcess
from trivet_tests.peers import SECRET

RECORDS = {"Content-Type": "application/json"}


class Supervisor:
    """The other end of the gateway's socket."""

    def __init__(self, path: Path) -> None:
        with ExitStack() as failed:
            self._socket = failed.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            self._socket.settimeout(60)
            self._socket.connect(str(path))
            self._socket.sendall(SECRET.encode())
            self._lines = failed.enter_context(self._socket.makefile("rb"))
            self.first = self.read()
            failed.pop_all()

    def send(self, message) -> None:
        self._socket.sendall(encode(message) + b"\n")

    def read(self) -> GatewayMessage:
        line = self._lines.readline()
        if not line:
            raise EOFError
        return decode(line, GatewayMessage)

    def until(self, condition: Callable[[GatewayReport], bool]) -> GatewayReport:
        """The next report of which something is true."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            message = self.read()
            if isinstance(message, GatewayReport) and condition(message):
                return message
        raise TimeoutError

    def serve(self, table) -> GatewayReport:
        """Have a table served whole."""
        self.send(table)
        digests = {route.deployment_id: route.digest for route in table.routes}
        return self.until(
            lambda report: (
                report.number == table.number
                and {each.deployment_id: each.serving for each in report.states} == digests
                and all(each.state == "serving" for each in report.states)
            )
        )

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Platform(GatewayProcess):
    """What the gateway's parent holds, and the other ends of its socket."""

    def __init__(self, home: Path, **settings) -> None:
        super().__init__(home, **settings)
        self._supervisors: list[Supervisor] = []

    def start(self) -> None:
        self.start_process()

    def supervisor(self) -> Supervisor:
        deadline = time.monotonic() + 60
        while True:
            try:
                supervisor = Supervisor(self.socket_path)
            except (OSError, EOFError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
                continue
            self._supervisors.append(supervisor)
            return supervisor

    def get(self, path: str) -> tuple[int, dict]:
        connection = self.connect()
        connection.request("GET", path)
        reply = connection.getresponse()
        body = json.loads(reply.read())
        connection.close()
        return reply.status, body

    def ask(self, x: int, *, path: str = "/pipelines/p/infer", connection=None) -> tuple[int, dict]:
        used = connection or self.connect()
        used.request("POST", path, body=json.dumps([{"x": x}]), headers=RECORDS)
        reply = used.getresponse()
        body = json.loads(reply.read())
        if connection is None:
            used.close()
        return reply.status, body[0] if reply.status == 200 else body

    def ready(self) -> None:
        deadline = time.monotonic() + 60
        while self.get("/readyz")[0] != 200:
            assert time.monotonic() < deadline, self.get("/readyz")
            time.sleep(0.01)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def close(self) -> None:
        for supervisor in self._supervisors:
            supervisor.close()
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.listener.close()
        output = (self.home / "stderr").read_text()
        assert "Traceback" not in output, output


@pytest.fixture
def platform():
    with tempfile.TemporaryDirectory(prefix="tt-") as short:
        made = []

        def make(**settings) -> Platform:
            home = Path(short) / f"home-{len(made)}"
            home.mkdir()
            made.append(Platform(home, **settings))
            return made[-1]

        yield make
        for each in made:
            each.close()


def test_it_serves_the_offered_routes_and_reports_them(platform, offers):
    here = platform()
    here.start()
    supervisor = here.supervisor()
    assert (supervisor.first.number, supervisor.first.states) == (0, ())
    assert here.get("/healthz")[0] == 200
    assert here.get("/readyz") == (503, {"status": "starting"})
    route = offers.route(offers.times(2))
    report = supervisor.serve(offers.table(1, route))
    assert report.states[0].using == (route.digest,)
    here.ready()
    status, row = here.ask(21)
    assert (status, row["out"]) == (200, {"y": 42})
    assert row["metadata"]["partition"] == report.gateway
    supervisor.serve(offers.table(2))
    assert here.ask(21)[0] == 404


def test_its_files_are_private(platform, offers):
    here = platform()
    here.start()
    here.supervisor().serve(offers.table(1, offers.route(offers.times(2))))
    for name in ("gateway.sock", "routes.json"):
        assert stat.S_IMODE((here.home / "run" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((here.home / "run").stat().st_mode) == 0o700


def test_killed_and_started_again_it_serves_the_same_with_nobodys_help(platform, offers):
    here = platform()
    here.start()
    routes = [offers.route(offers.times(n + 1), pipeline=f"p{n}", deployment_id=n) for n in (1, 2, 3)]
    here.supervisor().serve(offers.table(7, *routes))
    here.end(signal.SIGKILL)
    # A client that connects meanwhile is not refused: it waits.
    waiting = []
    thread = threading.Thread(target=lambda: waiting.append(here.get("/healthz")))
    thread.start()
    time.sleep(0.2)
    here.start()
    thread.join(60)
    assert waiting == [(200, {"status": "alive"})]
    here.ready()
    for number in (1, 2, 3):
        assert here.ask(10, path=f"/pipelines/p{number}/infer")[1]["out"] == {"y": 10 * (number + 1)}
    # A supervisor that was started again learns what is served, and that none of it was its own word.
    supervisor = here.supervisor()
    assert supervisor.first.number == 0
    assert [each.serving for each in supervisor.first.states] == [route.digest for route in routes]
    # Its numbers begin again.
    supervisor.serve(offers.table(1, routes[0]))
    assert here.ask(10, path="/pipelines/p2/infer")[0] == 404


def test_swaps_and_restarts_under_load_lose_no_request(platform, offers):
    here = platform()
    here.start()
    supervisor = here.supervisor()
    supervisor.serve(offers.table(1, offers.route(offers.times(2))))
    stop = threading.Event()
    seen, failures = set(), []

    def client() -> None:
        connection = here.connect()
        while not stop.is_set():
            status, row = here.ask(1, connection=connection)
            if status != 200 or row["metadata"]["pipeline_version"] != f"version of model-version-{row['out']['y']}":
                failures.append((status, row))
            else:
                seen.add(row["out"]["y"])
        connection.close()

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    for number, factor in enumerate(range(3, 15), start=2):
        supervisor.serve(offers.table(number, offers.route(offers.times(factor))))
        deadline = time.monotonic() + 60
        while factor not in seen and not failures:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    stop.set()
    for thread in clients:
        thread.join(60)
    assert not failures
    assert seen >= set(range(3, 15))


def test_the_newest_connection_knows_best(platform, offers):
    here = platform()
    here.start()
    old = here.supervisor()
    old.serve(offers.table(50, offers.route(offers.times(2))))
    new = here.supervisor()
    # It may listen as long as it likes; only a table makes it the one who knows.
    old.serve(offers.table(51, offers.route(offers.times(3))))
    new.serve(offers.table(1, offers.route(offers.times(4))))
    old.send(offers.table(52, offers.route(offers.times(5))))
    old.send(FlushLogs(token="flushed"))
    while not isinstance(old.read(), Flushed):
        pass
    assert here.ask(1)[1]["out"] == {"y": 4}


def test_a_table_that_was_overtaken_is_ignored(platform, offers):
    here = platform()
    here.start()
    supervisor = here.supervisor()
    supervisor.serve(offers.table(2, offers.route(offers.times(2))))
    supervisor.send(offers.table(1, offers.route(offers.times(3))))
    supervisor.send(FlushLogs(token="flushed"))
    while not isinstance(supervisor.read(), Flushed):
        pass
    assert here.ask(1)[1]["out"] == {"y": 2}


def test_a_flush_is_answered_with_its_token(platform):
    here = platform()
    here.start()
    control = here.supervisor()
    control.send(FlushLogs(token="a token"))
    assert control.read() == Flushed(token="a token")


@pytest.mark.parametrize("line", [b"no json\n", b'{"kind":"routes"}\n', b'{"kind":"unknown"}\n', b"\xff\xfe\n"])
def test_an_invalid_message_only_closes_its_connection(platform, offers, line):
    here = platform()
    here.start()
    supervisor = here.supervisor()
    supervisor.serve(offers.table(1, offers.route(offers.times(2))))
    other = here.supervisor()
    other._socket.sendall(line)
    with pytest.raises(EOFError):
        while True:
            other.read()
    assert here.ask(1)[1]["out"] == {"y": 2}
    supervisor.serve(offers.table(2, offers.route(offers.times(3))))


@pytest.mark.parametrize("content", [b"", b"{", b'{"kind":"report"}', b"\x00" * 9])
def test_kept_routes_that_cannot_be_read_are_done_without(platform, offers, content):
    here = platform()
    (here.home / "run").mkdir(mode=0o700)
    (here.home / "run" / "routes.json").write_bytes(content)
    here.start()
    here.supervisor().serve(offers.table(1, offers.route(offers.times(2))))
    here.ready()
    assert "failed to read the routes of the last run" in (here.home / "stderr").read_text()


def test_routes_that_cannot_be_kept_are_served_all_the_same(platform, offers):
    here = platform()
    (here.home / "run" / "routes.new").mkdir(parents=True)
    here.start()
    here.supervisor().serve(offers.table(1, offers.route(offers.times(2))))
    assert here.ask(1)[1]["out"] == {"y": 2}
    assert "failed to write the routes" in (here.home / "stderr").read_text()


def test_a_socket_that_was_left_there_is_replaced(platform, offers):
    here = platform()
    (here.home / "run").mkdir(mode=0o700)
    here.socket_path.write_text("in the way")
    here.start()
    here.supervisor().serve(offers.table(1))


def test_a_stopping_gateway_reports_not_ready_answers_and_ends(platform, offers):
    here = platform(stop_delay_s=60)
    here.start()
    here.supervisor().serve(offers.table(1, offers.route(offers.times(2))))
    here.ready()
    connection = here.connect()
    assert here.ask(1, connection=connection)[0] == 200
    here.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 60
    while (readiness := here.get("/readyz"))[0] == 200:
        assert time.monotonic() < deadline
    assert readiness == (503, {"status": "stopping"})
    assert here.ask(1, connection=connection)[1]["out"] == {"y": 2}
    connection.close()
    # A second signal does not wait for the rest of the delay.
    assert here.end(signal.SIGTERM) == 0
    assert not here.socket_path.exists()
    # What it served is served again by the next one.
    here.start()
    here.ready()
    assert here.ask(1)[1]["out"] == {"y": 2}


def test_a_stopping_gateway_ends_after_its_delay(platform):
    here = platform(stop_delay_s=1)
    here.start()
    here.supervisor()
    began = time.monotonic()
    assert here.end(signal.SIGTERM) == 0
    assert time.monotonic() - began >= 1


def test_a_home_whose_path_is_too_long_for_a_socket_is_refused(platform):
    here = platform()
    here.settings = Settings(home=here.home / ("long" * 30))
    here.settings.home.mkdir()
    here.start()
    assert here.process.wait(60) == 1
    assert "choose a home with a shorter path" in (here.home / "stderr").read_text()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no openssl that makes a certificate")
    return folder / "cert.pem", folder / "key.pem"


def test_with_a_certificate_it_speaks_tls_and_nothing_else(platform, offers, certificate):
    here = platform(tls_cert=certificate[0], tls_key=certificate[1])
    here.start()
    here.supervisor().serve(offers.table(1, offers.route(offers.times(2))))
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    secure = http.client.HTTPSConnection("127.0.0.1", here.port, timeout=20, context=trusting)
    for _ in range(3):
        assert here.ask(4, connection=secure)[1]["out"] == {"y": 8}
    secure.request("POST", "/pipelines/p/infer", body=json.dumps([{"x": 1}] * 20000), headers=RECORDS)
    assert len(json.loads(secure.getresponse().read())) == 20000
    secure.close()
    with pytest.raises((http.client.HTTPException, OSError)):
        here.ask(4)
