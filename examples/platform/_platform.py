"""Shared by the examples: their folder, a platform, and the models that they upload."""

import os
import subprocess
import sys
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path

from trivet import Client

EXAMPLES = Path(__file__).resolve().parent.parent
BUILD = EXAMPLES / "build"


def connect() -> AbstractContextManager[Client]:
    """The platform at TRIVET_URL, or one for the length of the `with` block (its home may be TRIVET_HOME)."""
    return Client() if "TRIVET_URL" in os.environ else Client.local(home=os.environ.get("TRIVET_HOME"))


def build(example: str) -> Path:
    """The ONNX file that an example's script writes."""
    script = EXAMPLES / example / "make_model.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip().removeprefix("wrote "))


def zipped(example: str, *files: str) -> Path:
    """An example's files as a zip, as an author would make it."""
    BUILD.mkdir(exist_ok=True)
    path = BUILD / f"{example}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in files:
            archive.write(EXAMPLES / example / name, name)
    return path
