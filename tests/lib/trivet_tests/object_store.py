"""An object store that speaks S3, in a thread of this process."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest


@dataclass
class ObjectStore:
    """What an S3 bucket holds, and what went over the wire.

    Attributes:
        objects: by `bucket/key`.
        unfinished: parts of uploads that were neither completed nor aborted.
        refuse: a status that every request gets instead of an answer; None answers.
    """

    port: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)
    unfinished: dict[str, dict[int, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refuse: int | None = None


class S3Requests(BaseHTTPRequestHandler):
    """As much of S3 as storing, reading and deleting single objects takes."""

    protocol_version = "HTTP/1.1"
    store: ObjectStore

    def answer(self) -> None:
        parts = urlsplit(self.path)
        key, query = unquote(parts.path).lstrip("/"), parse_qs(parts.query, keep_blank_values=True)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.store.requests.append(f"{self.command} {key} {parts.query.partition('=')[0]}".strip())
        if self.store.refuse is not None:
            self.send(self.store.refuse, b"<Error><Code>SlowDown</Code><Message>no</Message></Error>")
            return
        match self.command:
            case "POST" if "uploads" in query:
                upload = f"upload-{len(self.store.requests)}"
                self.store.unfinished[upload] = {}
                text = f"<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>{key}</Key><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                self.send(200, text.encode())
            case "PUT" if "uploadId" in query:
                self.store.unfinished[query["uploadId"][0]][int(query["partNumber"][0])] = body
                self.send(200, b"", ETag=f'"{query["partNumber"][0]}"')
            case "POST" if "uploadId" in query:
                pieces = self.store.unfinished.pop(query["uploadId"][0])
                self.store.objects[key] = b"".join(pieces[number] for number in sorted(pieces))
                text = f"<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>{key}</Key><ETag>e</ETag></CompleteMultipartUploadResult>"
                self.send(200, text.encode())
            case "DELETE" if "uploadId" in query:
                del self.store.unfinished[query["uploadId"][0]]
                self.send(204, b"")
            case "POST" if "delete" in query:
                names = re.findall(r"<Key>([^<]*)</Key>", body.decode())
                for name in names:
                    self.store.objects.pop(f"{key}/{name}", None)
                gone = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
                self.send(200, f"<DeleteResult>{gone}</DeleteResult>".encode())
            case "PUT":
                self.store.objects[key] = body
                self.send(200, b"", ETag='"e"')
            case "GET" | "HEAD" if key in self.store.objects:
                self.send_object(self.store.objects[key])
            case _:
                self.send(404, b"<Error><Code>NoSuchKey</Code><Message>there is none</Message></Error>")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def send_object(self, data: bytes) -> None:
        dated = {"ETag": '"e"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        wanted = self.headers.get("Range")
        if wanted is None:
            self.send(200, data, **dated)
            return
        first, last = wanted.removeprefix("bytes=").split("-")
        piece = data[int(first) : int(last) + 1]
        place = f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}"
        self.send(206, piece, **dated, **{"Content-Range": place})

    def send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """A store for one test; the environment names it to clients."""
    store = ObjectStore()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Requests", (S3Requests,), {"store": store}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    store.port = server.server_port
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "hush-hush",
    }.items():
        monkeypatch.setenv(name, value)
    yield store
    server.shutdown()
    server.server_close()
    thread.join()
