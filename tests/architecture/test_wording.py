"""No file names the machine, the folder or the tracker that it was written with."""

import re
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
GENERATED = {"uv.lock", "LICENSE"}
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.~}])/(?:work|opt|root|home/\w+)/\w"),
    "a number in some tracker": re.compile(r"\bissues? #?\d+|(?<![\w&#])#\d{1,4}\b(?![\da-fA-F])", re.IGNORECASE),
    "work that is not done": re.compile(r"\b(?:TODO|FIXME|XXX)\b"),
}


def files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [PROJECT / name for name in listed.stdout.split("\0") if name and Path(name).name not in GENERATED]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_mentions(what: str) -> None:
    mentions = []
    for path in files():
        if path == Path(__file__) or not path.is_file():
            continue
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        mentions += [
            f"{path.relative_to(PROJECT)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(lines, start=1)
            if FORBIDDEN[what].search(line)
        ]
    assert mentions == []
