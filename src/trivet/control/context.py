"""What the use cases are handed."""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from trivet.blobs import Blobs
from trivet.catalog import Catalog
from trivet.control.streaming import UploadThreads
from trivet.errors import TrivetError
from trivet.settings import Settings

__all__ = ["Control"]

OWNER = "owner"
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """The control plane's parts.

    Attributes:
        catalog: what exists and what is wanted.
        blobs: packages' bytes.
        settings: home and limits.
        infer_url: where the gateway answers.
        check_expression: refuses what is no validation.
        flush_logs: asks the gateway to write out what it has answered; says whether it did.
        probe: what of the platform does not answer, by part.
        is_stopping: whether whoever waits for news should go.
        user: who is asking. There is one user yet: whoever has the token.
        threads: take uploads in.
        settling: held while bytes and the row that names them become one, or are parted. One process does either.
    """

    catalog: Catalog
    blobs: Blobs
    settings: Settings
    infer_url: str
    check_expression: Callable[[str], None]
    flush_logs: Callable[[], bool]
    probe: Callable[[], dict[str, str]]
    is_stopping: Callable[[], bool] = lambda: False
    user: str = OWNER
    threads: UploadThreads = field(default_factory=UploadThreads)
    settling: threading.Lock = field(default_factory=threading.Lock)

    @property
    def uploads(self) -> Path:
        """Where uploads that were announced wait for their bytes."""
        return self.settings.home / "uploads"

    def poke(self) -> None:
        """Tell the supervisor that there is something new. It looks by itself, too, a little later."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(0.2)
            door.connect(str(self.settings.home / "run" / "supervisor.sock"))

    def tell(self, *, workspace_id: int, subject: str, subject_id: str, kind: str, text: str) -> None:
        """Add an event about what was done. What was done stays done if this fails."""
        try:
            self.catalog.journal.add_event(
                workspace_id=workspace_id, subject=subject, subject_id=subject_id, kind=kind, text=text
            )
        except TrivetError as error:
            log.warning("an event could not be written: %s", error.message)
