"""What a worker reports while it starts, and the errors that follow from it."""

import re
from typing import TypeAlias

import msgspec

from trivet.domain.frameworks import facts_of_adapter
from trivet.errors import BadEnvironment, BadPackage, Internal, ModelFailed, TrivetError, Unavailable

__all__ = [
    "OVER_MEMORY",
    "PROTOCOL",
    "Failure",
    "Importing",
    "LoadFailed",
    "Loading",
    "Restricted",
    "WorkerEvent",
    "WorkerReady",
    "check_protocol",
    "error_of",
    "read_event",
    "reason_for_clients",
]

PROTOCOL = 2
"""The platform's version of the worker protocol; workers report theirs, see `trivet_worker.protocol`."""

OVER_MEMORY = 113
"""The exit code of a worker that its guardian ended because of its memory: see `trivet_worker.guardian`."""

MOST_CHARACTERS = 500
"""Of a reason that clients see."""

DISTRIBUTIONS = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "faiss": "faiss-cpu",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
"""The distributions of modules that have another name."""

# What the reasons of ends and of failed starts say before the last lines of a log.
_LOG_FOLLOWS = "its log "


class Restricted(msgspec.Struct, frozen=True, tag_field="event", tag="restricted"):
    """The process that will run the model has entered its sandbox; no code of the environment has run.

    `protections` are what it holds: see `trivet_worker.sandbox`.
    """

    protections: tuple[str, ...]


class Importing(msgspec.Struct, frozen=True, tag_field="event", tag="importing"):
    """The worker's process runs and imports the package's modules."""

    pid: int


class Loading(msgspec.Struct, frozen=True, tag_field="event", tag="loading"):
    """The modules are imported; the worker loads the model."""


class WorkerReady(msgspec.Struct, frozen=True, tag_field="event", tag="ready"):
    """The worker is ready; `port` is its TCP port, 0 on a Unix socket. A worker without `protocol` has version 1."""

    pid: int
    python: str
    seconds: float
    protocol: int = 1
    port: int = 0


class Failure(msgspec.Struct, frozen=True):
    """An exception in a worker: its type's name, its text, `file.py:12` in the package, its traceback, and the fix if known."""

    reason: str
    type: str
    message: str
    trace: str = ""
    path: str | None = None
    fix: str | None = None


class LoadFailed(msgspec.Struct, frozen=True, tag_field="event", tag="failed"):
    """The model cannot be loaded; the worker ends."""

    error: Failure


WorkerEvent: TypeAlias = Restricted | Importing | Loading | WorkerReady | LoadFailed

_decoder: msgspec.json.Decoder[WorkerEvent] = msgspec.json.Decoder(WorkerEvent)


def read_event(line: bytes) -> WorkerEvent:
    """Read one line of a worker.

    Raises:
        Internal: it is not an event. Model code cannot write here, so the fault is Trivet's.
    """
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError as error:
        raise Internal("a worker sent a line that is not an event", why=str(error)) from error


def check_protocol(ready: WorkerReady, *, name: str) -> None:
    """Refuse a worker with another version of the protocol.

    Raises:
        BadEnvironment: the versions differ.
    """
    if ready.protocol != PROTOCOL:
        why = f"it speaks version {ready.protocol} of the worker protocol, and this platform version {PROTOCOL}"
        raise _other_protocol(name, why)


def _other_protocol(name: str, why: str) -> BadEnvironment:
    return BadEnvironment(
        f"the worker of {name} is of another release than this platform",
        why=why,
        fix="install trivet and trivet-worker of the same release",
        reason="other_protocol",
    )


def error_of(failure: Failure, *, name: str, adapter: str, tail: str) -> TrivetError:
    """The error that a failed start becomes.

    Args:
        failure: the worker's report.
        name: the model's name.
        adapter: what loads it in the worker.
        tail: the last lines of the worker's log, which may hold more than the exception.
    """
    facts = facts_of_adapter(adapter)
    cause = f"{failure.type}: {failure.message}" if failure.message else failure.type
    if tail:
        cause += f"\n  its log ends with\n{tail}"
    if failure.type == "OtherProtocol":
        return _other_protocol(name, failure.message)
    if failure.reason == "worker_failed":
        return BadEnvironment(
            f"the environment of {name} cannot run a worker",
            why=cause,
            fix="a worker needs numpy and pyarrow that work with this Python: see what requirements.txt pins",
            reason="worker_failed",
        )
    if failure.reason == "sandbox_missing":
        return Unavailable(
            f"the worker of {name} cannot be kept to its own files",
            why=failure.message,
            fix="use a kernel with Landlock (Linux 5.13 or newer), or set TRIVET_SANDBOX=on to run with what this one has",
            reason="sandbox_missing",
        )
    if failure.type == "PackageError":
        fix = "fix the package" if facts is None else f"fix the package: {facts.title} {facts.needs}"
        return BadPackage(failure.message, fix=fix, path=failure.path, reason=failure.reason)
    if failure.reason == "import_failed":
        fix = "fix the module: it must import in the environment of requirements.txt"
        if failure.type == "ModuleNotFoundError":
            fix = _missing_module(failure.message)
        return BadPackage(
            f"a module of {name} fails on import",
            why=cause,
            fix=failure.fix or fix,
            path=failure.path,
            reason="import_failed",
        )
    fix = f"{'load it' if facts is None else facts.to_load} in an environment from the same requirements.txt"
    return ModelFailed(
        f"the model of {name} cannot be loaded",
        why=cause,
        fix=failure.fix or fix,
        path=failure.path,
        reason="load_failed",
    )


def _missing_module(message: str) -> str:
    """What to add for `No module named 'cv2.gapi'`."""
    found = re.match(r"No module named '(\w+)", message)
    if found is None or found[1] not in DISTRIBUTIONS:
        return "add the distribution that holds the missing module to requirements.txt, or the module to the package"
    return f"add {DISTRIBUTIONS[found[1]]} to requirements.txt: it holds the module {found[1]}"


def reason_for_clients(error: TrivetError) -> str:
    """Why a worker failed to start, as clients see it: the lines of its log may quote the rows of others."""
    why = (error.why or "").partition(_LOG_FOLLOWS)[0].rstrip(" ;\n")
    reason = f"{error.what}: {why}" if why else error.what
    return reason.partition("\n")[0][:MOST_CHARACTERS]
