"""The parts of the control plane, which every use case is handed."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from trivet.blobs import Blobs, settling
from trivet.catalog import Catalog
from trivet.control.streaming import UploadThreads
from trivet.disk.peers import Peers
from trivet.domain.machines import Machine
from trivet.domain.pipeline import Validation
from trivet.domain.statistics import PipelineStatistics
from trivet.errors import TrivetError
from trivet.settings import Settings

__all__ = ["Control"]

log = logging.getLogger(__name__)

WAKE_S = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """The control plane's parts.

    Attributes:
        catalog: what exists and what is wanted.
        blobs: packages' bytes.
        settings: home and limits.
        peers: how the platform's processes reach each other.
        infer_url: the address of the gateway.
        check_validations: refuses what cannot be validated, given the types of the columns that are known.
        flush_logs: has the gateway, if it is running, write its inference log to disk.
        statistics: what the gateway measured of each pipeline; None if it does not answer.
        probe: parts of the platform that do not answer, with the reason.
        is_stopping: whether requests that wait for events should end.
        machine: what versions run on here.
        devices: names of the machine's GPUs.
        threads: receive uploads.
    """

    catalog: Catalog
    blobs: Blobs
    settings: Settings
    peers: Peers
    infer_url: str
    check_validations: Callable[[Sequence[Validation], Mapping[str, pa.DataType]], None]
    flush_logs: Callable[[], None]
    probe: Callable[[], dict[str, str]]
    machine: Machine
    statistics: Callable[[], tuple[PipelineStatistics, ...] | None] = lambda: None
    is_stopping: Callable[[], bool] = lambda: False
    devices: tuple[str, ...] = ()
    threads: UploadThreads = field(default_factory=UploadThreads)

    @property
    def uploads(self) -> Path:
        """The folder of uploads that are announced and have no bytes yet."""
        return self.settings.home / "uploads"

    def settling(self) -> AbstractContextManager[None]:
        """Held while bytes and the row that names them are stored or deleted together; the supervisor holds it too.

        Raises:
            Unavailable: the home is not writable.
        """
        return settling(self.settings.home)

    def wake_supervisor(self) -> None:
        """Have the supervisor read the catalog now. Without this, it does so a little later."""
        with contextlib.suppress(OSError), self.peers.connected("supervisor", timeout_s=WAKE_S):
            pass

    def add_event(self, *, workspace_id: int, subject: str, subject_id: str, kind: str, text: str) -> None:
        """Add an event. A failure is logged, and does not undo what the event describes."""
        try:
            self.catalog.journal.add_event(
                workspace_id=workspace_id, subject=subject, subject_id=subject_id, kind=kind, text=text
            )
        except TrivetError as error:
            log.warning("an event could not be written: %s", error.message)
