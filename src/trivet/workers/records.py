"""Records of ready workers, with which another process can adopt them; and the handle of a process.

A process is identified by its pid and its start time (field 22 of `/proc/<pid>/stat`), because the kernel reuses pids.
"""

import logging
from pathlib import Path

import msgspec

from trivet.disk.processes import started_at
from trivet.disk.replace import replace_file
from trivet.domain.encoding import encode
from trivet.domain.released_forms import decode_released
from trivet.domain.routes import WorkerAddress
from trivet.errors import TrivetError

__all__ = ["WorkerRecord", "handle_of", "living_records", "pid_of", "process_lives", "write_record"]

log = logging.getLogger(__name__)


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a ready worker.

    Attributes:
        worker: its address; the handle is the guardian's.
        model_pid: the process that runs the model.
        fleet: see `WorkerSpec`.
        name: the model's.
        log: the file that it writes to.
        log_start: where in that file its own lines begin.
        folder: its private folder.
        devices: see `WorkerSpec`; a record of a release without devices has none.
        protections: what its sandbox holds; a release without one says nothing.
    """

    worker: WorkerAddress
    model_pid: int
    fleet: str
    name: str
    log: str
    log_start: int
    folder: str
    devices: tuple[str, ...] = ()
    protections: tuple[str, ...] = ()


def handle_of(pid: int, started: int) -> dict[str, str]:
    """A process, as an address's handle: SIGTERM to it ends the worker with all that it started."""
    return {"pid": str(pid), "started": str(started)}


def pid_of(worker: WorkerAddress) -> int | None:
    """The process in an address's handle; None if the address is of another launcher."""
    pid = worker.handle.get("pid", "")
    return int(pid) if pid.isascii() and pid.isdigit() else None


def process_lives(worker: WorkerAddress) -> bool:
    """Whether a worker's process runs, and its pid was not reused."""
    pid = pid_of(worker)
    started = None if pid is None else started_at(pid)
    return started is not None and str(started) == worker.handle.get("started")


def write_record(path: Path, record: WorkerRecord) -> bool:
    """Write a record, whole or not at all. Returns False on a full disk: the worker then cannot be adopted."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, encode(record), durable=False)
    except OSError as error:
        log.warning(
            "the worker of %s will end with its supervisor: %s cannot be written (%s)", record.name, path, error
        )
        return False
    return True


def living_records(folder: Path) -> list[tuple[Path, WorkerRecord]]:
    """The records of live workers; others are removed."""
    living = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = decode_released(path.read_bytes(), WorkerRecord)
        except (OSError, TrivetError):
            record = None
        if record is not None and process_lives(record.worker):
            living.append((path, record))
        else:
            path.unlink(missing_ok=True)
    for path in folder.glob("*.new"):
        path.unlink(missing_ok=True)
    return living
