"""Requests that no honest client sends: each is refused or waited for, and the next one is answered as if nothing was."""

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator
from typing import Self

import pyarrow as pa
import pytest

ROW = json.dumps([{"x": [1, 2, 3]}]).encode()
ARROW_FILE = "application/vnd.apache.arrow.file"


@pytest.fixture(scope="module")
def server(long_shell, make) -> Iterator:
    with long_shell.serve(make.step(long_shell.folder / "step"), "--max-body", "2") as running:
        yield running


@pytest.fixture(autouse=True)
def answers_afterwards(server) -> Iterator[None]:
    processes = [process.pid for process in server.model_processes()]
    yield
    assert server.outputs([{"x": [1, 2, 3]}]) == [{"y": 6.0}]
    assert server.is_ready()
    assert [process.pid for process in server.model_processes()] == processes


def head(*lines: str, length: int | None = len(ROW), path: str = "/infer") -> bytes:
    own = ["Host: localhost", "Content-Type: application/json", *lines]
    if length is not None:
        own.append(f"Content-Length: {length}")
    return "\r\n".join([f"POST {path} HTTP/1.1", *own, "", ""]).encode("latin-1")


class Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        for piece in pieces:
            self.socket.sendall(piece)
            time.sleep(pause_s)

    def receive(self, answers: int = 1) -> list[tuple[int, bytes]]:
        """So many answers, with their bodies."""
        found, data = [], b""
        while len(found) < answers:
            while b"\r\n\r\n" not in data:
                data += self._more()
            lines, _, data = data.partition(b"\r\n\r\n")
            first, *headers = lines.split(b"\r\n")
            length = next(int(line[15:]) for line in headers if line.lower().startswith(b"content-length:"))
            while len(data) < length:
                data += self._more()
            found.append((int(first.split()[1]), data[:length]))
            data = data[length:]
        return found

    def _more(self) -> bytes:
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError
        return piece


@pytest.fixture
def connection(server) -> Iterator[Connection]:
    with Connection(server.port) as one:
        yield one


def outputs(answer: tuple[int, bytes]) -> list[dict[str, float]]:
    assert answer[0] == 200, answer
    return [row["out"] for row in json.loads(answer[1])]


def test_a_body_that_comes_byte_by_byte_is_waited_for(connection):
    connection.send(head(), *[ROW[index : index + 1] for index in range(len(ROW))], pause_s=0.01)
    assert outputs(connection.receive()[0]) == [{"y": 6.0}]


def test_headers_that_come_byte_by_byte_are_waited_for(connection):
    whole = head()
    connection.send(*[whole[index : index + 1] for index in range(len(whole))], pause_s=0.002)
    connection.send(ROW)
    assert outputs(connection.receive()[0]) == [{"y": 6.0}]


def test_a_caller_that_closes_its_half_gets_its_answer_or_none(connection):
    connection.send(head("Connection: close"), ROW)
    connection.socket.shutdown(socket.SHUT_WR)
    # uvicorn takes a closed half for a caller that went away: no answer then, and no harm.
    with contextlib.suppress(EOFError):
        assert outputs(connection.receive()[0]) == [{"y": 6.0}]


def test_pipelined_requests_are_answered_in_order(connection):
    bodies = [json.dumps([{"x": [number, 0, 0]}]).encode() for number in range(20)]
    connection.send(b"".join(head(length=len(body)) + body for body in bodies))
    assert [outputs(answer) for answer in connection.receive(20)] == [[{"y": float(number)}] for number in range(20)]


@pytest.mark.parametrize("size", [1, 7, len(ROW)])
def test_chunked_bodies_are_put_together(connection, size):
    chunks = [ROW[start : start + size] for start in range(0, len(ROW), size)]
    connection.send(head("Transfer-Encoding: chunked", length=None))
    connection.send(*[b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks], b"0\r\n\r\n")
    assert outputs(connection.receive()[0]) == [{"y": 6.0}]


def test_a_thousand_tiny_chunks_are_put_together(connection):
    body = b"[" + b" " * 1000 + ROW[1:]
    connection.send(head("Transfer-Encoding: chunked", length=None))
    connection.send(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
    assert outputs(connection.receive()[0]) == [{"y": 6.0}]


@pytest.mark.parametrize("chunk", [b"zz\r\nxx\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n"])
def test_chunks_that_are_none_end_the_connection_with_400(connection, chunk):
    connection.send(head("Transfer-Encoding: chunked", length=None), chunk)
    refused(connection, 400)


def refused(connection: Connection, *statuses: int) -> None:
    """A status, where the parser makes one, or the end of the connection."""
    data = b""
    try:
        while piece := connection.socket.recv(65536):
            data += piece
            if b"\r\n\r\n" in data:
                break
    except ConnectionError:
        return
    if data:
        assert int(data.split()[1]) in statuses, data[:200]


def test_headers_without_end_are_cut_off(connection):
    connection.send(b"POST /infer HTTP/1.1\r\nHost: localhost\r\n")
    line = b"X-More: " + b"x" * 8000 + b"\r\n"
    with contextlib.suppress(ConnectionError):
        for _ in range(4000):  # 32 MB
            connection.send(line)
        connection.send(b"\r\n")
    refused(connection, 400)


def test_a_long_header_is_refused_or_does_no_harm(connection):
    connection.send(head("X-Long: " + "x" * 200_000), ROW)
    refused(connection, 200, 400, 431)


@pytest.mark.parametrize(
    "text",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"\0" * 100, b"POST /infer HTTP/9.9\r\n\r\n",
     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", head(length=None) + b"", head("Content-Length: -5", length=None)],
)  # fmt: skip
def test_input_that_is_not_http_is_refused(connection, text):
    connection.send(text)
    connection.socket.shutdown(socket.SHUT_WR)
    refused(connection, 400, 405, 404)


@pytest.mark.parametrize("lines", [("Content-Length: 10",), ("Transfer-Encoding: chunked",)])
def test_two_lengths_are_refused(connection, lines):
    """Of two servers in a row each may believe another one: a request smuggled past the first."""
    connection.send(head(*lines), ROW)
    refused(connection, 400)


def test_a_caller_that_goes_away_in_the_middle_is_forgotten(server, make):
    for cut in (10, len(head()), len(head()) + 5, len(head()) + len(ROW)):
        with Connection(server.port) as connection:
            connection.send((head() + ROW)[:cut])
            # A reset rather than an orderly end.
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    make.eventually(lambda: 'trivet_requests_in_flight{pipeline="step"} 0.0' in server.get("/metrics").text)


def test_a_body_beyond_the_limit_is_refused_however_it_comes(server, connection):
    answer = server.post(b"[" + b" " * 3 * 2**20 + b"]")
    assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")
    connection.send(head("Transfer-Encoding: chunked", length=None))
    try:
        for _ in range(64):
            connection.send(b"10000\r\n" + b" " * 2**16 + b"\r\n")
    except ConnectionError:
        return
    refused(connection, 413)


def test_a_bomb_of_a_body_is_refused(server):
    import gzip

    import zstandard

    zeros = b"[" + b" " * 64 * 2**20
    for encoding, packed in (("gzip", gzip.compress(zeros)), ("zstd", zstandard.compress(zeros))):
        answer = server.post(packed, headers={"Content-Encoding": encoding})
        assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")


# What is in a body. The error says where.
BODIES: dict[str, tuple[bytes, int, str]] = {
    "no JSON": (b"tensor=1", 400, ""),
    "cut off": (ROW[:-3], 400, ""),
    "not a list": (b'{"x": [1, 2, 3]}', 400, ""),
    "no rows": (b"[]", 400, "no rows"),
    "empty": (b"", 400, ""),
    "a row that is none": (b"[1]", 400, "[0]"),
    "a field is missing": (b'[{"x": [1,2,3]}, {"z": [1,2,3]}]', 400, "[1]"),
    "too wide": (b'[{"x": [1,2,3,4]}]', 400, "[0].x"),
    "too narrow": (b'[{"x": [1,2,3]}, {"x": [1,2]}]', 400, "[1].x"),
    "text for a number": (b'[{"x": [1,2,"three"]}]', 400, "[0].x[2]"),
    "a null": (b'[{"x": [1,null,3]}]', 400, "tensor values may not be null"),
    "a null for all": (b'[{"x": null}]', 400, "tensor values may not be null"),
    "NaN": (b'[{"x": [1,NaN,3]}]', 400, ""),
    "beyond float32": (b'[{"x": [1,1e400,3]}]', 400, ""),
    "invalid UTF-8": (b'[{"x": [1,2,3], "\xff": 1}]', 400, ""),
    "nested a million deep": (b'[{"x": ' + b"[" * 1_000_000, 400, ""),
    "nested and closed": (b'[{"x": ' + b"[" * 500_000 + b"]" * 500_000 + b"}]", 400, ""),
    "a field twice": (b'[{"x": [1,2,3], "x": [1,2]}]', 400, ""),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_does_not_fit_is_refused_with_the_place(server, name):
    body, status, said = BODIES[name]
    answer = server.post(body)
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert (error["code"], error["status"], error["source"]) == (status, "error", "engine")
    assert error["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert said in error["error"] + error.get("path", "")


def test_arrow_that_is_cut_off_anywhere_is_refused(server, make):
    whole = make.arrow(pa.table({"x": pa.array([[1.0, 2.0, 3.0]] * 4, pa.list_(pa.float32(), 3))}))
    for cut in (0, 3, 8, 40, len(whole) // 2, len(whole) - 12, len(whole) - 1):
        answer = server.post(whole[:cut], content=ARROW_FILE)
        assert answer.status_code == 400, (cut, answer.text)
        assert answer.json()["error"]


@pytest.mark.parametrize(
    "values",
    [pa.array([["a", "b", "c"]]), pa.array([1.0]), pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)),
     pa.array([[1.0, None, 2.0]], pa.list_(pa.float32(), 3)), pa.array([None], pa.list_(pa.float32(), 3)),
     pa.array([[1e300, 0, 0]], pa.list_(pa.float64(), 3)), pa.array(["x"]).dictionary_encode()],
)  # fmt: skip
def test_arrow_of_another_type_is_refused_with_the_column(server, make, values):
    answer = server.post(make.arrow(pa.table({"x": values})), content=ARROW_FILE)
    assert answer.status_code == 400, answer.text
    assert "x" in answer.json()["path"]


def test_a_hundred_thousand_rows_are_answered(long_shell, make):
    table = pa.table({"x": pa.array([[float(index), 0.0, 1.0] for index in range(100_000)], pa.list_(pa.float32(), 3))})
    with long_shell.serve(make.step(long_shell.folder / "step")) as server:
        answer = server.post(make.arrow(table), content=ARROW_FILE, query="?dataset[]=out")
        found = pa.ipc.open_file(answer.content).read_all()["out"].combine_chunks().field("y")
        assert found.to_pylist() == [float(index + 1) for index in range(100_000)]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/infer", {}, 405), ("POST", "/models", {}, 405), ("DELETE", "/infer", {}, 405),
        ("GET", "/../../etc/passwd", {}, 404), ("POST", "/infer/", {}, 404),
        ("POST", "/infer", {"Content-Type": "text/csv"}, 415), ("POST", "/infer", {"Accept": "text/html"}, 406),
        ("POST", "/infer", {"Content-Encoding": "br"}, 415), ("POST", "/infer?datset[]=out", {}, 400),
        ("POST", "/infer?dataset[]=nothing", {}, 400), ("POST", "/infer?dataset.flatten=perhaps", {}, 400),
    ],
)  # fmt: skip
def test_what_is_not_there_or_not_taken_has_its_status(server, method, path, headers, status):
    import requests

    own = {"Content-Type": "application/json"} | headers
    answer = requests.request(method, f"{server.url}{path}", data=ROW, headers=own, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (status, status)
    assert answer.json()["fix"]
