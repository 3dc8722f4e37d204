"""Wheels written by hand, a package index on loopback, and stores that see nothing else: no network is needed."""

import base64
import contextlib
import hashlib
import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from trivet.envs import EnvironmentStore

LOGIN = ("reader", "tell-nobody-81")


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: tuple[str, ...] = (),
    python: str | None = None,
    tag: str = "py3-none-any",
    body: str = "",
    data: bytes = b"",
) -> Path:
    """The smallest wheel that installers take: one module, its metadata, and the record of both."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {line}" for line in requires]
    metadata += [f"Requires-Python: {python}"] if python else []
    files = {
        f"{name}/__init__.py": (body or f"VERSION = {version!r}\n").encode(),
        f"{info}/METADATA": ("\n".join(metadata) + "\n").encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: by-hand\nRoot-Is-Purelib: true\nTag: " + f"{tag}\n".encode(),
    }
    if data:
        files[f"{name}/data.bin"] = data
    record = [f"{path},sha256={_url64(content)},{len(content)}" for path, content in files.items()]
    files[f"{info}/RECORD"] = ("\n".join([*record, f"{info}/RECORD,,"]) + "\n").encode()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def _url64(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def write_sdist(folder: Path, name: str, version: str, *, before_build: str, known: bool = True) -> Path:
    """A source distribution that builds itself with nothing but the standard library, after running some code.

    What it requires is `known` from its files, or else from a build only.
    """
    root = f"{name}-{version}"
    backend = f"""
import base64, hashlib, os, pathlib, time, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
{"".join(f"    {line}{chr(10)}" for line in before_build.splitlines())}
    info = "{name}-{version}.dist-info"
    files = {{
        "{name}/__init__.py": b"BUILT = True\\n",
        info + "/METADATA": b"Metadata-Version: 2.2\\nName: {name}\\nVersion: {version}\\n",
        info + "/WHEEL": b"Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    hashed = lambda c: base64.urlsafe_b64encode(hashlib.sha256(c).digest()).rstrip(b"=").decode()
    record = "".join(f"{{k}},sha256={{hashed(v)}},{{len(v)}}\\n" for k, v in files.items()) + info + "/RECORD,,\\n"
    with zipfile.ZipFile(pathlib.Path(folder) / "{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, content in {{**files, info + "/RECORD": record.encode()}}.items():
            archive.writestr(path, content)
    return "{name}-{version}-py3-none-any.whl"
"""
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        + (f'[project]\nname = "{name}"\nversion = "{version}"\n' if known else ""),
        "PKG-INFO": f"Metadata-Version: {'2.2' if known else '1.0'}\nName: {name}\nVersion: {version}\n",
        "backend.py": backend,
    }
    folder.mkdir(parents=True, exist_ok=True)
    sdist = folder / f"{root}.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{root}/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return sdist


@pytest.fixture
def make_wheel() -> Callable[..., Path]:
    return write_wheel


@pytest.fixture
def make_sdist() -> Callable[..., Path]:
    return write_sdist


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with the worker's two packages, as far as they matter here, and one of the model's."""
    folder = tmp_path / "wheels"
    write_wheel(folder, "numpy", "1.26.0")
    write_wheel(folder, "pyarrow", "17.0.0", requires=("numpy",))
    write_wheel(folder, "alpha", "1.0")
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables that keep this machine's own settings of pip and uv out."""
    home = tmp_path / "user"
    home.mkdir()
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PIP_CONFIG_FILE": os.devnull,
        "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
        "UV_HTTP_RETRIES": "0",
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "envs"


@pytest.fixture
def store(root: Path, environ: dict[str, str]) -> EnvironmentStore:
    return EnvironmentStore(root, environ=environ)


@dataclass
class Said:
    """Collects what a build reports."""

    lines: list[tuple[str, str, int | None, int | None]] = field(default_factory=list)

    def __call__(self, stage: str, detail: str, done: int | None, total: int | None) -> None:
        self.lines.append((stage, detail, done, total))

    @property
    def text(self) -> str:
        return "\n".join(f"{stage} {detail}" for stage, detail, _, _ in self.lines)


@pytest.fixture
def said() -> Said:
    return Said()


@dataclass
class Index:
    """A package index on loopback that serves the files of a folder."""

    folder: Path
    url: str
    uploaded: dict[str, str] = field(default_factory=dict)
    login: tuple[str, str] | None = None

    @property
    def url_with_login(self) -> str:
        name, password = LOGIN
        return self.url.replace("://", f"://{name}:{password}@")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    folder = tmp_path / "index"
    for name, version in (("numpy", "1.26.0"), ("pyarrow", "17.0.0"), ("alpha", "1.0")):
        write_wheel(folder, name, version)
    with serve_index(folder) as served:
        yield served


@contextlib.contextmanager
def serve_index(folder: Path) -> Iterator[Index]:
    index = Index(folder=folder, url="")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            expected = index.login and base64.b64encode(":".join(index.login).encode()).decode()
            parts = [unquote(part) for part in self.path.split("/") if part]
            if expected and self.headers.get("Authorization") != f"Basic {expected}":
                self._answer(401, "text/plain", b"no")
            elif parts[:1] == ["simple"] and len(parts) == 2:
                self._project(parts[1])
            elif parts[:1] == ["files"] and (folder / parts[1]).is_file():
                self._answer(200, "application/octet-stream", (folder / parts[1]).read_bytes())
            else:
                self._answer(404, "text/plain", b"no")

        def _project(self, name: str) -> None:
            found = sorted(file for file in folder.iterdir() if file.name.split("-")[0] == name)
            files = [
                {
                    "filename": file.name,
                    "url": f"{index.url.removesuffix('/simple')}/files/{file.name}",
                    "hashes": {},
                    "upload-time": index.uploaded.get(file.name, "2020-01-01T00:00:00Z"),
                }
                for file in found
            ]
            body = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()
            self._answer(200 if found else 404, "application/vnd.pypi.simple.v1+json", body)

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    index.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
