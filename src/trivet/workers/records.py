"""What is written down of a worker that is ready, so that another supervisor can take it over."""

import logging
from pathlib import Path

import msgspec

from trivet.disk.processes import started_at
from trivet.disk.replace import replace_file
from trivet.domain.encoding import decode, encode
from trivet.domain.routes import WorkerAddress
from trivet.errors import TrivetError

__all__ = ["WorkerRecord", "lives", "living_records", "write_record"]

log = logging.getLogger(__name__)


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A worker.

    Attributes:
        worker: where it listens, and its guardian.
        model_pid: the process that runs the model.
        fleet: whose worker it is.
        name: the model's.
        log: the file that it writes to.
        log_start: where in that file its own lines begin.
        folder: its private folder.
    """

    worker: WorkerAddress
    model_pid: int
    fleet: str
    name: str
    log: str
    log_start: int
    folder: str


def lives(worker: WorkerAddress) -> bool:
    """Whether a worker's process lives and is still the one that it was."""
    return started_at(worker.pid) == worker.started


def write_record(path: Path, record: WorkerRecord) -> bool:
    """Write a record, whole or not at all. A full disk costs the adoption, not the worker: False says so."""
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
    """The records of workers that live; those of others are removed."""
    living = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = decode(path.read_bytes(), WorkerRecord)
        except (OSError, TrivetError):
            record = None
        if record is not None and lives(record.worker):
            living.append((path, record))
        else:
            path.unlink(missing_ok=True)
    for path in folder.glob("*.new"):
        path.unlink(missing_ok=True)
    return living
