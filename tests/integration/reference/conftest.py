"""The reference's own examples: read from its document, zipped as their authors would, served by `trivet serve`."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import requests

PROJECT = Path(__file__).resolve().parents[3]
TRIVET = Path(sys.executable).with_name("trivet")
READY = re.compile(r"Ready: (http://\S+)\n")
RECORDS = "application/json; format=pandas-records"
ARROW_FILE = "application/vnd.apache.arrow.file"
ARROW_STREAM = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True, kw_only=True)
class Document:
    """A reference document. `text`: as it was published."""

    text: str

    def excerpt(self, first: str, last: str) -> str:
        """From the line that begins with `first` to the next place that ends with `last`, unchanged."""
        start = self.text.index("\n" + first) + 1
        return self.text[start : self.text.index(last, start) + len(last)] + "\n"


@pytest.fixture(scope="session")
def document(reference: Path) -> Document:
    """The one about what model packages hold."""
    (path,) = reference.glob("001_*")
    return Document(text=path.read_text())


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running `trivet serve`. `said`: the file that its standard error goes to."""

    url: str
    said: Path

    @property
    def stderr(self) -> str:
        return self.said.read_text(errors="replace")

    def post(self, body: Any, *, accept: str | None = None) -> requests.Response:
        """Rows as JSON, or a table or bytes as an Arrow file."""
        headers = {"Accept": accept} if accept else {}
        if isinstance(body, pa.Table):
            headers["Content-Type"], data = ARROW_FILE, arrow_file(body)
        else:
            headers["Content-Type"], data = RECORDS, json.dumps(body).encode()
        return requests.post(f"{self.url}/infer", data=data, headers=headers, timeout=60)

    def records(self, body: Any) -> list[dict[str, Any]]:
        """The answer as JSON, of a request that goes well."""
        answer = self.post(body, accept=RECORDS)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def table(self, body: Any, *, accept: str = ARROW_FILE) -> pa.Table:
        """The answer as Arrow, of a request that goes well."""
        answer = self.post(body, accept=accept)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == accept
        read = pa.ipc.open_file if accept == ARROW_FILE else pa.ipc.open_stream
        return read(io.BytesIO(answer.content)).read_all()

    def refusal(self, body: Any) -> dict[str, Any]:
        """What is said to a request that is refused."""
        answer = self.post(body)
        assert answer.status_code == 400, answer.text
        return answer.json()


def arrow_file(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.fixture(scope="session")
def write_schema() -> Callable[[Path, pa.Schema], Path]:
    """Writes a schema as pyarrow does: an IPC file that holds nothing else."""

    def write(path: Path, schema: pa.Schema) -> Path:
        with pa.ipc.new_file(str(path), schema):
            pass
        return path

    return write


@pytest.fixture(scope="session")
def write_zip() -> Callable[..., Path]:
    """`write_zip(path, top="vgg_clustering", files={"requirements.txt": "…"})`: a zip with one top folder."""

    def write(path: Path, *, top: str, files: Mapping[str, str | bytes]) -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(f"{top}/{name}", content)
        return path

    return write


@pytest.fixture(scope="module")
def home(shared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh home, but for its environments, for services that many tests share."""
    home = tmp_path_factory.mktemp("home")
    (shared_home / "envs").mkdir(exist_ok=True)
    (home / "envs").symlink_to(shared_home / "envs", target_is_directory=True)
    yield home
    for root, _, _ in os.walk(home):
        Path(root).chmod(0o700)
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def served(home: Path) -> Callable[..., contextlib.AbstractContextManager[Service]]:
    """`with served(path, "--python", "3.8") as service`: `trivet serve` on a free port while the block lasts."""

    @contextlib.contextmanager
    def serve(path: Path, *flags: object) -> Iterator[Service]:
        said = path.with_name(f"{path.name}.log")
        with said.open("w") as stderr:
            process = subprocess.Popen(
                [TRIVET, "serve", path, *map(str, flags), "--http-port", "0"],
                env=os.environ | {"TRIVET_HOME": str(home)}, cwd=path.parent, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        with process:
            try:
                assert process.stdout is not None
                ready = READY.fullmatch(process.stdout.readline())
                assert ready, said.read_text(errors="replace")
                yield Service(url=ready[1], said=said)
            finally:
                process.send_signal(signal.SIGINT)
                code = process.wait(timeout=60)
        assert code == 0, said.read_text(errors="replace")

    return serve


@pytest.fixture(scope="session")
def rows_of() -> Callable[[pa.Table, str], list[Any]]:
    """`rows_of(table, "predictions")`: one field of an answer's `out`."""

    def rows(table: pa.Table, field: str) -> list[Any]:
        return [row[field] for row in table.column("out").to_pylist()]

    return rows
