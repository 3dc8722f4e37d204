"""The lines of one version's upload log."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Literal, Protocol

from trivet.domain.version import ModelVersion
from trivet.errors import Unavailable
from trivet.loading.trials import Stage

__all__ = ["UploadLines", "UploadLog"]

Level = Literal["info", "warning", "error"]


class UploadLines(Protocol):
    """The catalog's journal; `loading` does not import it, because `trivet serve` has no catalog."""

    def log_upload(self, version_id: int, *, level: str, stage: str, text: str) -> None:
        """Add a line to its upload log."""

    def add_event(self, *, workspace_id: int, subject: str, subject_id: str, kind: str, text: str) -> None:
        """Add an event."""


class UploadLog:
    """The upload log of one version. A line that cannot be written is dropped, without further effect."""

    def __init__(self, journal: UploadLines, version: ModelVersion, *, every_s: float) -> None:
        self._journal = journal
        self._version = version
        self._every_s = every_s
        self._reports: list[Stage] = []
        self._fresh = asyncio.Event()
        self._stopped = asyncio.Event()

    async def write(self, level: Level, stage: str, text: str) -> None:
        """Add a line.

        Raises:
            NotFound, Conflict: the version is not there any more.
        """
        with contextlib.suppress(Unavailable):
            await asyncio.to_thread(self._journal.log_upload, self._version.id, level=level, stage=stage, text=text)

    async def close(self, level: Level, kind: str, text: str) -> None:
        """Add the last line, and an event."""
        await self.write(level, kind, text)
        version = self._version
        with contextlib.suppress(Unavailable):
            await asyncio.to_thread(
                self._journal.add_event,
                workspace_id=version.workspace_id,
                subject="model_version",
                subject_id=version.uuid,
                kind=kind,
                text=text.partition("\n")[0],
            )

    def begin(self) -> None:
        """Start to collect reports."""
        self._stopped.clear()
        self._fresh.clear()

    def add(self, stage: Stage) -> None:
        """Take a trial's report; `follow` writes it."""
        self._reports.append(stage)
        self._fresh.set()

    async def follow(self) -> None:
        """Write the reports, a few lines a second at most, until `stop`.

        Raises:
            NotFound, Conflict: the version is not there any more.
        """
        while self._reports or not self._stopped.is_set():
            await self._fresh.wait()
            self._fresh.clear()
            reports, self._reports = self._reports, []
            for stage in _latest(reports):
                level: Level = "warning" if stage.stage in ("warning", "traceback") else "info"
                await self.write(level, stage.stage, _text(stage))
            # After `stop` the rest is written without a pause.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._every_s)

    def stop(self) -> None:
        """Stop collecting reports."""
        self._stopped.set()
        self._fresh.set()


def _latest(reports: list[Stage]) -> Iterator[Stage]:
    """The reports, with only the last of consecutive counts."""
    for index, stage in enumerate(reports):
        following = reports[index + 1] if index + 1 < len(reports) else None
        if stage.done is None or following is None or following.done is None or following.stage != stage.stage:
            yield stage


def _text(stage: Stage) -> str:
    if stage.done is None:
        return stage.detail
    return f"{stage.detail} ({stage.done}{'' if stage.total is None else f' of {stage.total}'})"
