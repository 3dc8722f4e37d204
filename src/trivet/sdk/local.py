"""A program's own platform: started for a notebook or a test, and stopped with it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trivet.disk.files import remove_tree
from trivet.errors import Unavailable

__all__ = ["LocalPlatform", "local_platform"]

READY_S = 60.0
ELSEWHERE = {
    f"TRIVET_{name}"
    for name in (
        "BLOB_URL",
        "DATABASE_URL",
        "HOME",
        "HOST",
        "HOSTS",
        "HTTP_PORT",
        "PORT",
        "TLS_CERT",
        "TLS_KEY",
        "TOKEN",
        "URL",
    )
}
"""Variables that belong to another platform."""

END_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalPlatform:
    """Its address, token and folder."""

    url: str
    token: str
    home: Path


@contextlib.contextmanager
def local_platform(home: str | Path | None) -> Iterator[LocalPlatform]:
    """Run `trivet up` on free ports for the length of a `with` block, with its own database, packages and token. Variables
    of another platform are ignored.

    Args:
        home: the platform's folder; if None a temporary one, which is removed afterwards.

    Raises:
        Unavailable: it does not start.
    """
    with contextlib.ExitStack() as stack:
        if home is None:
            folder = Path(tempfile.mkdtemp(prefix="trivet-local-"))
            stack.callback(remove_tree, folder)
        else:
            folder = Path(home).expanduser().absolute()
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = stack.enter_context((folder / "local.log").open("w+b"))
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "trivet", "up", "--home", str(folder), "--port", "0", "--http-port", "0"),
                "--until-input-ends",
            ],
            env={name: value for name, value in os.environ.items() if name not in ELSEWHERE},
            # When this program is killed, the pipe closes and the platform stops.
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            # Ctrl-C goes to the program only; the platform stops when the block ends.
            process_group=0,
        )
        stack.callback(_end, process)
        info = _wait(folder, process)
        yield LocalPlatform(url=info, token=(folder / "token").read_text().strip(), home=folder)


def _wait(folder: Path, process: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, KeyError):
            record = json.loads((folder / "run" / "platform.json").read_text())
            if record["pid"] == process.pid:
                return str(record["control_url"])
        time.sleep(0.02)
    tail = (folder / "local.log").read_bytes()[-2000:].decode(errors="replace").strip()
    raise Unavailable("the platform did not start", why=tail or None, fix="`trivet doctor` checks the usual causes")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdin is not None
    process.stdin.close()
