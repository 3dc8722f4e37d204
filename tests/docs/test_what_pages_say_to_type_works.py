"""What README, docs and the examples' pages say to type works: each page is followed from top to bottom.

A page is followed in a fresh folder that holds a copy of `examples`, with a fresh home; a platform that it leaves running is ended. What is done with a block says the line it opens with:

    ```bash            it runs to its end, well (`bash fails`: it ends with an error)
    ```bash server     it is started and waited for; Ctrl-C at the next one, or at the end of the page
    ```python          it runs in the project's own environment
    ```python file=X   it is written to X (any language)
    ```console         each `$ command` prints what stands below it, where `...` stands for anything
    ```text            (yaml, json, toml, mermaid) it is only shown
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FENCED = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"^<!-- test: (?P<words>[\w. ]+) -->$", re.MULTILINE)
DEFAULT_PORT = "8080"
STARTS = re.compile(r"trivet up|Client\.local\(|examples/platform/\w+\.py")
RUN = {"bash", "console", "python"}
SHOWN = {"json", "mermaid", "text", "toml", "yaml"}


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: ```` ```bash server ````, ```` ```python file=custom_inference.py ````."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The name under which it is written instead of run."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in FENCED.finditer(text):
        language, *words = match["info"].split()
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(language=language, words=tuple(words), text=match["text"], line=line))
    return found


def needs(page: Path) -> set[str]:
    """What `<!-- test: python3.8 slow -->` on a page asks for."""
    return {word for match in NEEDS.finditer(page.read_text()) for word in match["words"].split()}


@dataclass(kw_only=True)
class Reader:
    """Someone who types in what a page says, in a fresh folder with the examples in it."""

    folder: Path
    environ: dict[str, str]
    port: str
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def follow(self, block: Block) -> None:
        """Write, start, or run one block; fails as pytest does.

        Where a page uses the default port, a free one is put in its place.
        """
        text = block.text.replace(DEFAULT_PORT, self.port)
        if block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language == "bash" and "server" in block.words:
            self.stop()
            self._serve(text if "--http-port" in text else f"{text.rstrip()} --http-port {self.port}")
        elif block.language == "bash":
            self._run(["bash", "-euo", "pipefail", "-c", text], fails="fails" in block.words)
        elif block.language == "python":
            self._run([sys.executable, "-c", text], fails="fails" in block.words)
        elif block.language == "console":
            for command, printed in commands(text):
                assert_printed(self._run(["bash", "-euo", "pipefail", "-c", command]), printed)

    def stop(self) -> None:
        """Ctrl-C for what is running; it ends well."""
        for process in self.running:
            os.killpg(process.pid, signal.SIGINT)
        for process in self.running:
            assert process.wait(timeout=60) == 0, self._log()
        self.running.clear()

    def _serve(self, text: str) -> None:
        with (self.folder / "server.out").open("wb") as out, (self.folder / "server.err").open("wb") as err:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.running.append(process)
        while "Ready: http" not in (self.folder / "server.out").read_text():
            if process.poll() is not None:
                self.running.remove(process)
                pytest.fail(f"the server ended with exit code {process.returncode}\n{self._log()}")
            time.sleep(0.05)

    def _run(self, command: list[str], *, fails: bool = False) -> str:
        said = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        if (said.returncode != 0) != fails:
            pytest.fail(f"exit code {said.returncode}\n{said.stdout}\n{said.stderr}\n{self._log()}")
        return said.stdout

    def _log(self) -> str:
        log = self.folder / "server.err"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""


def commands(text: str) -> Iterator[tuple[str, str]]:
    """`$ command` and the lines it prints."""
    for piece in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = piece.partition("\n")
        while command.endswith("\\"):
            more, _, printed = printed.partition("\n")
            command = f"{command}\n{more}"
        yield command, printed


def assert_printed(actual: str, expected: str) -> None:
    """`...` in what a page shows stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
    assert re.fullmatch(pattern, actual.strip(), re.DOTALL), f"the page shows\n{expected}\nit printed\n{actual}"


@pytest.fixture
def reader(
    tmp_path: Path, free_home: Path, interpreter: Callable[[str], Path], request: pytest.FixtureRequest
) -> Iterator[Reader]:
    page: Path = request.getfixturevalue("page")
    programs = tmp_path / "programs"
    programs.mkdir()
    for word in needs(page):
        if word.startswith("python"):
            (programs / word).symlink_to(interpreter(word.removeprefix("python")))
    with following(tmp_path, free_home, programs) as someone:
        yield someone


@contextmanager
def following(tmp_path: Path, home: Path, programs: Path) -> Iterator[Reader]:
    folder = tmp_path / "trivet"
    folder.mkdir()
    shutil.copytree(PROJECT / "examples", folder / "examples", ignore=shutil.ignore_patterns("build", "__pycache__"))
    port = free_port()
    environ: dict[str, Any] = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{programs}{os.pathsep}{os.environ['PATH']}",
        "TRIVET_HOME": str(home),
        # A platform takes free ports, too; commands and programs find it by its home.
        "TRIVET_PORT": free_port(),
        "TRIVET_HTTP_PORT": port,
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    someone = Reader(folder=folder, environ=environ, port=port)
    try:
        yield someone
        someone.stop()
    finally:
        for process in someone.running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if (home / "run").exists():
            subprocess.run([Path(sys.executable).with_name("trivet"), "down", "--home", home], check=True, timeout=120)


def free_port() -> str:
    """A port that nobody uses at this moment; pages name one and the same, and several may be read at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def pages() -> Iterator[Any]:
    """Every page with something to type, with the marks that it asks for."""
    found = [PROJECT / "README.md", *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("examples/*/README.md")]
    for page in sorted(found):
        if any(block.language in RUN or block.file for block in blocks(page)):
            marks = [pytest.mark.slow] if starts_a_server(page) else []
            if "slow" in needs(page):
                marks = [pytest.mark.slow, pytest.mark.timeout(1500)]
            yield pytest.param(page, marks=marks, id=str(page.relative_to(PROJECT)))


def starts_a_server(page: Path) -> bool:
    run = [block for block in blocks(page) if block.language in RUN]
    return any("server" in block.words or STARTS.search(block.text) for block in run)


@pytest.mark.parametrize("page", list(pages()))
def test_what_the_page_says_to_type_works(page: Path, reader: Reader) -> None:
    for block in blocks(page):
        try:
            reader.follow(block)
        except (AssertionError, pytest.fail.Exception) as error:
            raise AssertionError(f"{page.relative_to(PROJECT)}:{block.line}: {error}") from None


@pytest.mark.parametrize(
    "page", sorted([PROJECT / "README.md", *PROJECT.glob("docs/**/*.md")]), ids=lambda page: page.name
)
def test_a_block_says_what_it_is(page: Path) -> None:
    assert [block.line for block in blocks(page) if block.language not in RUN | SHOWN] == []
    fences = re.findall(r"^```.*$", page.read_text(), re.MULTILINE)
    assert [fence for fence in fences[::2] if fence == "```"] == [], "say `text` where it is nothing to run"
