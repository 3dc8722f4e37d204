"""What the sandbox of a worker holds on this machine, before any worker runs."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from trivet.disk.errors import disk
from trivet.domain.protections import Protections, protections_of
from trivet.errors import Unavailable
from trivet.settings import Settings
from trivet_worker import process

__all__ = ["check_protections", "find_protections"]

ANSWER_S = 60.0
# A process restricts itself for good, so another one tries it.
_PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from trivet_worker.sandbox import Grants, restrict
from trivet_worker.interpreter import own_folders
code, scratch, mode, network = sys.argv[1:]
print(json.dumps(restrict(mode, Grants(own_folders(), "", scratch, scratch, network == "full", scratch))))
"""


def find_protections(settings: Settings) -> Protections:
    """What holds for a worker that may use the network, if the settings let any.

    Raises:
        Unavailable: the system's temporary folder is full or not writable.
    """
    if settings.sandbox == "off" and settings.worker_network == "full":
        return protections_of(())
    code = str(Path(process.__file__).parent.parent)
    temporary = Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - a name for the error
    # What is missing is reported here too where it is required.
    mode = "off" if settings.sandbox == "off" else "on"
    # A process that ends or hangs proves nothing.
    with disk(temporary), contextlib.suppress(subprocess.SubprocessError), tempfile.TemporaryDirectory() as scratch:
        # It gives its standard error to the group of workers, so it is a pipe.
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, code, scratch, mode, settings.worker_network],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_S,
            check=True,
        )
        return protections_of(json.loads(done.stdout))
    return protections_of(())


def check_protections(settings: Settings) -> Protections:
    """What holds, unless the settings require more.

    Raises:
        Unavailable: the sandbox is required, and this kernel has none.
    """
    found = find_protections(settings)
    if settings.sandbox == "required" and not found.landlock:
        raise Unavailable(
            "models cannot be kept to their own files",
            why="TRIVET_SANDBOX is `required`, and this kernel has no Landlock",
            fix="use a kernel with Landlock (Linux 5.13 or newer), or set TRIVET_SANDBOX=on to run with what this one has",
            reason="sandbox_missing",
        )
    return found
