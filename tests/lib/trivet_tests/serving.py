"""`trivet serve` as a process, from its start to its end, which is looked at as closely as its answers."""

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from trivet_tests.command import TRIVET, run_here, run_process
from trivet_tests.waiting import eventually

READY = re.compile(r"Ready: (http://\S+)\n")
RECORDS = "application/json; format=pandas-records"

# What would make the same command print something else on another machine.
UNSTABLE = re.compile(
    r"COLUMNS|LINES|TERM|TERMINAL_WIDTH|(PY_|NO_|FORCE_)COLOR\w*|CLICOLOR\w*|GITHUB_ACTIONS|ORT_\w+|TRIVET_\w+|PYTHON\w+"
)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str


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
        """The processes that run the model: below the server two guardians each, and below them the model."""
        outer = self.root.children()
        return [model for guardian in outer for inner in guardian.children() for model in inner.children()]

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

    def wait(self, *, within_s: float = 60.0) -> int:
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
        eventually(lambda: not self.leftovers(), self.leftovers)


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
            # The traceback of a model that raised on its row is shown; another one is a fault of the server.
            assert "Traceback" not in serving.stderr.replace("traceback: Traceback", "")
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
