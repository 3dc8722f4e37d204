"""The `trivet` command as a user has it: a process of its own, whose end is looked at as closely as its answers."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
import requests

from trivet_tests.command import TRIVET, run_here, run_process

READY = re.compile(r"Ready: (http://\S+)\n")
RECORDS = "application/json; format=pandas-records"
ARROW_FILE = "application/vnd.apache.arrow.file"
ARROW_STREAM = "application/vnd.apache.arrow.stream"

# What would make the same command print something else on another machine.
UNSTABLE = re.compile(
    r"COLUMNS|LINES|TERM|TERMINAL_WIDTH|(PY_|NO_|FORCE_)COLOR\w*|CLICOLOR\w*|GITHUB_ACTIONS|ORT_\w+|TRIVET_\w+|PYTHON\w+"
)

SUMS = {"input_schema": "x: float32[3]", "output_schema": "y: float32"}
SUM_STEP = """
    def process_data(input_data):
        return {"y": input_data["x"].sum(axis=1)}
"""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str


def eventually(check: Callable[[], Any], *, within_s: float = 20.0) -> Any:
    """Ask until the answer is truthy; gives that answer. The time is a guard against hangs."""
    deadline = time.monotonic() + within_s
    while not (found := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {found!r} after {within_s} s: {check}")
        time.sleep(0.02)
    return found


def processes_that_mention(text: str) -> list[psutil.Process]:
    """Every process, ours or not our child any more, that was started with this text in its environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and any(text in value for value in process.environ().values()):
                found.append(process)
    return found


@dataclass(kw_only=True)
class Serving:
    """A `trivet serve` that runs, or has run."""

    process: subprocess.Popen[str]
    home: Path
    temporary: Path
    said: Path
    lines: list[str] = field(default_factory=list)
    url: str = ""
    _reader: threading.Thread | None = None
    _ready: threading.Event = field(default_factory=threading.Event)

    def start_reading(self) -> None:
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                self.lines.append(line)
                if match := READY.fullmatch(line):
                    self.url = match[1]
                    self._ready.set()
        self._ready.set()

    def until_ready(self, *, within_s: float = 120.0) -> "Serving":
        self._ready.wait(within_s)
        assert self.url, f"not ready:\n{self.stderr}"
        return self

    def until_said(self, text: str, *, within_s: float = 60.0) -> None:
        eventually(lambda: text in self.stderr or self.process.poll() is not None, within_s=within_s)
        assert text in self.stderr

    @property
    def stderr(self) -> str:
        return self.said.read_text(errors="replace")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def root(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def model_processes(self) -> list[psutil.Process]:
        """The processes that run the model: below the server a guardian each, and below that the model."""
        return [model for guardian in self.root.children() for model in guardian.children()]

    def log(self) -> str:
        """What the model wrote."""
        return "".join(path.read_text(errors="replace") for path in (self.home / "logs").glob("*.log"))

    def post(self, body: Any, *, content: str = RECORDS, query: str = "", **options: Any) -> requests.Response:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        headers = {"Content-Type": content, **options.pop("headers", {})}
        options.setdefault("timeout", 60)
        return requests.post(f"{self.url}/infer{query}", data=body, headers=headers, **options)

    def outputs(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The `out` of each row, of a request that goes well."""
        answer = self.post(rows)
        assert answer.status_code == 200, answer.text
        return [row["out"] for row in answer.json()]

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.url}{path}", timeout=60)

    def is_ready(self) -> bool:
        return self.get("/readyz").status_code == 200

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, *, within_s: float = 40.0) -> int:
        code = self.process.wait(within_s)
        if self._reader is not None:
            self._reader.join()
        return code

    def leftovers(self) -> list[str]:
        """Processes and files that should be gone."""
        processes = [" ".join(each.cmdline()) for each in processes_that_mention(str(self.temporary))]
        return processes + [path.name for path in self.temporary.iterdir()]

    def assert_nothing_left(self) -> None:
        # The guardian of a worker whose server was killed ends by itself, a moment later.
        deadline = time.monotonic() + 15
        while (left := self.leftovers()) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert left == []


@dataclass(kw_only=True)
class Shell:
    """Where a user types: a home, a temporary folder, and the command."""

    home: Path
    folder: Path
    temporary: Path
    environ: dict[str, str]

    def run(self, *arguments: object, **environ: str) -> Ended:
        """Run a command to its end, in this process."""
        ran = run_here(*arguments, environ=self.environ | environ, cwd=self.folder)
        return Ended(code=ran.returncode, stdout=ran.stdout, stderr=ran.stderr)

    def run_process(self, *arguments: object, within_s: float = 120.0, **environ: str) -> Ended:
        """Run a command to its end, as a process of its own."""
        ran = run_process(*arguments, environ=self.environ | environ, cwd=self.folder, within_s=within_s)
        return Ended(code=ran.returncode, stdout=ran.stdout, stderr=ran.stderr)

    @contextlib.contextmanager
    def start(self, path: object, *flags: object, **environ: str) -> Iterator[Serving]:
        """`trivet serve` on a free port. Whatever happened in the block, nothing may be left of it afterwards."""
        # Short, because sockets lie below it, and of its own, because it is looked into.
        temporary = Path(tempfile.mkdtemp(prefix="te-", dir=self.temporary))
        said = temporary.with_suffix(".log")
        with said.open("w") as stderr:
            process = subprocess.Popen(
                [TRIVET, "serve", str(path), *map(str, flags), "--http-port", "0"],
                env=self.environ | {"TMPDIR": str(temporary)} | environ, cwd=self.folder, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        home = Path(environ.get("TRIVET_HOME", self.environ["TRIVET_HOME"]))
        serving = Serving(process=process, home=home, temporary=temporary, said=said)
        serving.start_reading()
        try:
            yield serving
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert serving.wait() == 0, serving.stderr
            serving.wait()
            assert "Traceback" not in serving.stderr
            assert all(READY.fullmatch(line) for line in serving.lines)
            assert len(serving.lines) <= 1
            serving.assert_nothing_left()
        finally:
            if process.poll() is None:
                process.kill()
            serving.wait()
            for left in processes_that_mention(str(temporary)):
                with contextlib.suppress(psutil.Error):
                    left.kill()

    @contextlib.contextmanager
    def serve(self, path: object, *flags: object, **environ: str) -> Iterator[Serving]:
        """`trivet serve`, ready."""
        with self.start(path, *flags, **environ) as serving:
            yield serving.until_ready()


def user_environ(home: Path, temporary: Path, **more: str) -> dict[str, str]:
    """This process's environment without what changes how things print, and with a home."""
    kept = {name: value for name, value in os.environ.items() if not UNSTABLE.fullmatch(name)}
    return kept | {"COLUMNS": "100", "TERM": "dumb", "TRIVET_HOME": str(home), "TMPDIR": str(temporary)} | more


def make_shell(home: Path, folder: Path, temporary: Path) -> Shell:
    return Shell(home=home, folder=folder, temporary=temporary, environ=user_environ(home, temporary))


@pytest.fixture(scope="session")
def temporary() -> Iterator[Path]:
    """A folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="te-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def shell(free_home: Path, tmp_path: Path, temporary: Path) -> Shell:
    """A user with a fresh home, but for the environments."""
    return make_shell(free_home, tmp_path, temporary)


@pytest.fixture
def fresh_shell(tmp_path: Path, temporary: Path) -> Iterator[Shell]:
    """A user who has never used the command."""
    home = tmp_path / "fresh-home"
    yield make_shell(home, tmp_path, temporary)
    remove(home)


@pytest.fixture(scope="module")
def long_shell(shared_home: Path, tmp_path_factory: pytest.TempPathFactory, temporary: Path) -> Iterator[Shell]:
    """As `shell`, for servers that many tests share."""
    folder = tmp_path_factory.mktemp("user")
    home = folder / "home"
    home.mkdir(mode=0o700)
    (shared_home / "envs").mkdir(exist_ok=True)
    (home / "envs").symlink_to(shared_home / "envs", target_is_directory=True)
    yield make_shell(home, folder, temporary)
    remove(home)


def remove(home: Path) -> None:
    for root, _, _ in os.walk(home):
        Path(root).chmod(0o700)
    shutil.rmtree(home, ignore_errors=True)


# Packages.


def write_folder(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
    return folder


def write_zip(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else textwrap.dedent(content))
    return path


def step_files(code: str, *, settings: Mapping[str, Any] | None = None, file: str = "step.py") -> dict[str, str]:
    """A Python step with all that is to be said about it."""
    # JSON is YAML.
    return {file: textwrap.dedent(code), "trivet.yaml": json.dumps(SUMS | dict(settings or {}))}


BYOP = """
    from mac.config.inference import CustomInferenceConfig
    from mac.inference import Inference
    from mac.inference.creation import InferenceBuilder
    from mac.types import InferenceData

    class Summing(Inference):
        @property
        def expected_model_types(self):
            return {int}

        def _predict(self, input_data: InferenceData) -> InferenceData:
            return {"y": input_data["x"].sum(axis=1) * self.model}

    class SummingBuilder(InferenceBuilder):
        @property
        def inference(self) -> Summing:
            return Summing

        def create(self, config: CustomInferenceConfig) -> Summing:
            inference = self.inference()
            inference.model = 2
            return inference
"""


def byop_files(*replaced: tuple[str, str], **files: str) -> dict[str, str]:
    """A custom model that answers twice the sum of each row, with pieces of its code replaced."""
    code = textwrap.dedent(BYOP)
    for old, new in replaced:
        assert old in code, old
        code = code.replace(old, new)
    return {"custom_inference.py": code, "requirements.txt": "", **files}


def arrow_body(table: pa.Table, *, stream: bool = False) -> bytes:
    sink = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


class Making:
    """What tests make packages and bodies with."""

    folder = staticmethod(write_folder)
    zip = staticmethod(write_zip)
    step_files = staticmethod(step_files)
    byop_files = staticmethod(byop_files)
    arrow = staticmethod(arrow_body)
    eventually = staticmethod(eventually)

    def step(self, folder: Path, code: str = SUM_STEP, **settings: Any) -> Path:
        """A folder with a Python step, called `step` unless its settings say otherwise."""
        return self.folder(folder, self.step_files(code, settings={"name": "step", **settings}))


@pytest.fixture(scope="session")
def make() -> Making:
    return Making()
