"""Most tests run commands in their own process: there they say exactly what a process of their own says."""

import re

import pytest
from typer.main import get_command

from trivet.cli.main import app

ROWS = '[{"x": [1.0, 2.0]}]'


def commands():
    """Every command, as words: `env list` is two."""
    for name, command in sorted(get_command(app).commands.items()):
        yield name
        yield from (f"{name} {inner}" for inner in sorted(getattr(command, "commands", {})))


ANSWERED = ["--version", "models", "models --json", "status", "status --json", "pipelines agreed", "env list --json"]
REFUSED = [
    "",
    "env",
    "serv",
    "serve",
    "serve x.zip --workers 0",
    "check nothing.zip",
    "serve nothing.zip --http-port 0",
    "upload agreed nothing.onnx",
    "models --workspace nowhere",
    "models --url ftp://127.0.0.1",
    "deploy agreed agreed@9",
    "logs agreed --start 2026-01-31",
    "infer agreed nothing.json",
]


@pytest.fixture(scope="module")
def agreed(shared_platform, times):
    shared_platform.deploy("agreed", shared_platform.upload("agreed", times(3)))


@pytest.mark.parametrize("line", [*(f"{name} --help" for name in commands()), *ANSWERED, *REFUSED])
def test_a_command_says_the_same_in_process_as_its_own_process(shared_platform, agreed, line):
    here = shared_platform.trivet(*line.split(), COLUMNS="100")
    there = shared_platform.trivet_process(*line.split(), COLUMNS="100")
    assert (here.returncode, steady(here.stdout), here.stderr) == (there.returncode, steady(there.stdout), there.stderr)
    assert (here.returncode == 0) == (line not in REFUSED)


def steady(text: str) -> str:
    """Without the moment of an environment's last use, since tests beside this one use the same environments, and without what is
    measured of requests.
    """
    text = re.sub(r'"last_used": "[^"]+"', '"last_used": "…"', text)
    text = re.sub(r'"statistics": (null|\{[^}]*\})', '"statistics": "…"', text)
    if "  req/s  " in text:
        text = "\n".join(" ".join(re.split(" {2,}", line)[:5]) for line in text.splitlines())
    return text


@pytest.mark.parametrize("rows", [ROWS, "", "[{]", '[{"x": [1]}, {"é": "\N{SNOWMAN}"}]'])
def test_rows_on_standard_input_are_read_in_process_as_well(shared_platform, agreed, rows):
    words = ("infer", "agreed", "-", "-d", "out")
    here = shared_platform.trivet(*words, stdin=rows)
    there = shared_platform.trivet_process(*words, stdin=rows)
    assert (here.returncode, here.stdout, here.stderr) == (there.returncode, there.stdout, there.stderr)
