"""Real connections to servers that are slow, gone, or end in the middle."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from trivet import AsyncClient, Client
from trivet.errors import DeadlineExceeded, Invalid, ModelUploadError, TrivetError, Unavailable
from trivet.sdk import operations, uploads
from trivet.sdk.calls import SyncDriver

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n" + b'{"workspaces":[]}'
REFUSED = b'{"code":400,"what":"Not a valid ZIP file","class":"BadPackage"}'


class Server:
    """Each connection is given to the next of some functions; the last one takes all that follow."""

    def __init__(self, *behaviours: Callable[[socket.socket], None]) -> None:
        self.behaviours = list(behaviours)
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            behave = self.behaviours[min(self.connections, len(self.behaviours) - 1)]
            self.connections += 1
            with connection, contextlib.suppress(OSError):
                behave(connection)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(*behaviours: Callable[[socket.socket], None]) -> Server:
        made.append(Server(*behaviours))
        return made[-1]

    yield make
    for each in made:
        each.close()


def answer(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(OK)


def hang_up(connection: socket.socket) -> None:
    connection.recv(65536)


def say_nothing(connection: socket.socket) -> None:
    connection.recv(65536)
    time.sleep(1)


def break_off(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(OK[:-5])


def refuse_unread(connection: socket.socket) -> None:
    """An answer before the body is read, as a server gives that has seen enough."""
    connection.recv(1024)
    head = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(REFUSED)
    connection.sendall(head + REFUSED)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass


def announce(connection: socket.socket) -> None:
    connection.recv(65536)
    send(connection, b"201 Created", b'{"id":"1","url":"/v1/uploads/1/content","uuid":"u"}')


def know_the_version(connection: socket.socket) -> None:
    assert connection.recv(65536).startswith(b"GET /v1/versions/u ")
    send(connection, b"200 OK", b'{"uuid":"u","name":"m","number":1,"status":"ready","marker":"found"}')


def know_no_version(connection: socket.socket) -> None:
    connection.recv(65536)
    send(
        connection,
        b"404 Not Found",
        b'{"code":404,"reason":"not_found","what":"there is no such version","class":"NotFound"}',
    )


def send(connection: socket.socket, status: bytes, body: bytes) -> None:
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    connection.sendall(head % (status, len(body)) + body)


def test_an_unreachable_platform_gets_the_advice_to_start_it_with_up():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", token="t") as client, pytest.raises(Unavailable) as caught:
        client.list_workspaces()
    assert caught.value.what == f"the platform at http://127.0.0.1:{port} cannot be reached"
    assert "trivet up" in caught.value.fix


@pytest.mark.parametrize("how", [hang_up, break_off])
def test_a_question_survives_one_lost_connection(server, how):
    here = server(how, answer)
    with Client(here.url, token="t") as client:
        assert client.list_workspaces() == []
    assert here.connections == 2


def test_an_order_is_given_once(server):
    here = server(hang_up)
    with Client(here.url, token="t") as client, pytest.raises(Unavailable):
        client.create_workspace("w")
    assert here.connections == 1


def test_the_clients_timeout_holds_for_every_call(server):
    here = server(say_nothing)
    with Client(here.url, token="t", request_timeout=0.2) as client:
        with pytest.raises(DeadlineExceeded, match="did not answer within 0.2 s"):
            client.platform()
        with pytest.raises(DeadlineExceeded, match="did not answer within 0.1 s"):
            client.run(operations.call("POST", "/v1/x", timeout_s=0.1))


@pytest.mark.parametrize("timeout_s", [float("inf"), 1e300])
def test_for_ever_is_a_timeout_too(server, timeout_s):
    here = server(answer)
    with Client(here.url, token="t", request_timeout=timeout_s) as client:
        assert client.list_workspaces() == []


@pytest.mark.parametrize("timeout_s", [0, -1.0, float("nan")])
def test_a_timeout_that_is_over_before_it_begins_is_refused(server, timeout_s):
    here = server(answer)
    with Client(here.url, token="t", request_timeout=timeout_s) as client, pytest.raises(Invalid, match="a timeout of"):
        client.list_workspaces()
    assert here.connections == 0


def test_the_token_goes_with_every_request_and_proxies_are_left_out(server, monkeypatch):
    heard: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        connection.sendall(OK)

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    here = server(listen)
    with Client(here.url, token="0123456789abcdef") as client:
        client.list_workspaces()
    assert b"authorization: bearer 0123456789abcdef" in heard[0].lower()


def test_a_refusal_is_heard_though_the_body_was_not_read(server, tmp_path):
    file = tmp_path / "model.zip"
    file.write_bytes(b"no zip! " * 2**20)
    here = server(announce, refuse_unread)
    with (
        Client(here.url, token="t") as client,
        pytest.raises(ModelUploadError, match="Not a valid ZIP file"),
    ):
        client.upload_model("m", file, "custom")


@pytest.mark.parametrize(
    ("behaviours", "fix"),
    [
        ([announce, hang_up, know_no_version], "no part of it was stored"),
        ([announce, hang_up, hang_up, hang_up], "check whether it arrived"),
    ],
)
def test_an_upload_that_breaks_off_says_whether_anything_was_kept(server, tmp_path, behaviours, fix):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"x" * 100)
    here = server(*behaviours)
    with Client(here.url, token="t") as client, pytest.raises(Unavailable) as caught:
        client.upload_model("m", file)
    assert caught.value.what == "the upload of model.onnx was interrupted"
    assert fix in caught.value.fix


def test_an_upload_whose_answer_was_lost_is_found(server, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"x" * 100)

    said = {"name": "m", "framework": "onnx"}
    here = server(announce, hang_up, know_the_version)
    with httpx.Client() as http:
        driver = SyncDriver(base=here.url, token="t", http=http)
        found = driver.run(uploads.upload(file=file, file_name=file.name, fields=said, progress=None, timeout_s=5.0))
    assert found["marker"] == "found"


def test_progress_is_reported_up_to_the_last_byte(server, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"x" * (3 * 2**20 + 1))
    told: list[tuple[int, int]] = []
    here = server(announce, refuse_unread)
    with Client(here.url, token="t") as client, pytest.raises(TrivetError):
        client.upload_model("m", file, progress=lambda sent, size: told.append((sent, size)))
    assert told[-1] == (3 * 2**20 + 1, 3 * 2**20 + 1)
    assert [sent for sent, _ in told] == sorted(sent for sent, _ in told)


def test_the_same_holds_with_an_event_loop(server, tmp_path):
    async def story() -> None:
        here = server(hang_up, answer)
        async with AsyncClient(here.url, token="t") as client:
            assert await client.run(operations.call("GET", "/v1/workspaces")) == {"workspaces": []}
        file = tmp_path / "model.zip"
        file.write_bytes(b"no zip! " * 2**20)
        other = server(announce, refuse_unread)
        async with AsyncClient(other.url, token="t") as client:
            with pytest.raises(ModelUploadError, match="Not a valid ZIP file"):
                await client.upload_model("m", file, "custom")

    asyncio.run(story())


def test_waiting_does_not_hold_up_the_loop(server):
    async def story() -> None:
        here = server(say_nothing)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.02)
                ticks += 1

        ticking = asyncio.create_task(tick())
        client = Client(here.url, token="t", request_timeout=0.4)
        async with httpx.AsyncClient() as http:
            with pytest.raises(DeadlineExceeded):
                await client.async_driver(http).run(operations.call("POST", "/v1/x"))
        ticking.cancel()
        client.close()
        assert ticks >= 5

    asyncio.run(story())
