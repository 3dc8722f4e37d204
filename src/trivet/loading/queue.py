"""LoadQueue: uploaded versions become `ready` or `error`, each by a trial.

What is to be done lies in the catalog alone. A version that was left half-way, because the supervisor or the machine ended,
begins again from its pending status.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from trivet.blobs import Blobs
from trivet.domain.digest import Digest
from trivet.domain.fault import Fault
from trivet.domain.frameworks import FRAMEWORKS, Runtime
from trivet.domain.version import CONVERTED_FILE, LoadedModel, ModelVersion, VersionStatus
from trivet.errors import Conflict, Internal, NotFound, TrivetError, Unavailable
from trivet.loading.log_lines import UploadLines, UploadLog
from trivet.loading.trials import TRIAL_DIED, TrialJob, Trials

__all__ = ["LoadQueue", "LoadQueueLimits", "UploadRecords"]

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class UploadRecords(Protocol):
    """The catalog's models, which `loading` does not import, since `trivet serve` has no catalog."""

    def versions_to_load(self) -> list[ModelVersion]:
        """Those that are neither ready nor in error, oldest first."""

    def set_status(
        self, version_id: int, status: VersionStatus, *, loaded: LoadedModel | None = None, fault: Fault | None = None
    ) -> ModelVersion:
        """Say what became of one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadQueueLimits:
    """How much at once, and how long.

    Attributes:
        at_once: versions of each kind, native and container, that are tried side by side: what loads within a second does not
            wait for environments that take minutes.
        trial_s: all of one trial, the building of its environment included.
        load_s: from the moment on when the model begins to load.
        log_every_s: between two lines about the same stage.
        first_pause_s: before the catalog or the blob store is asked again; each further pause is twice as long …
        most_pause_s: … up to this.
        fetches: how often the blob store is asked for a file, or to keep one, before the version is given up.
    """

    at_once: int = 2
    trial_s: float = 3 * 3600.0
    load_s: float = 660.0
    log_every_s: float = 1.0
    first_pause_s: float = 0.2
    most_pause_s: float = 10.0
    fetches: int = 8


class LoadQueue:
    """Tries versions until none is left to be tried. Belongs to the event loop that calls it.

    Args:
        models: say which, and keep what became of them. Called in threads.
        journal: keeps log lines and events. Called in threads.
        blobs: holds the uploaded files. Called in threads.
        trials: tries one.
        scratch: a private folder for the length of a `with` block.
        settings: for the trials, as `settings_to_json` writes them.
        parent: this process's number, with which the trials end.
        limits: see there.
        on_change: called when a version became ready or failed: there may be more to do.
    """

    def __init__(
        self,
        *,
        models: UploadRecords,
        journal: UploadLines,
        blobs: Blobs,
        trials: Trials,
        scratch: Callable[[], AbstractContextManager[Path]],
        settings: str,
        parent: int,
        limits: LoadQueueLimits,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._models = models
        self._journal = journal
        self._blobs = blobs
        self._trials = trials
        self._scratch = scratch
        self._settings = settings
        self._parent = parent
        self._limits = limits
        self._on_change = on_change
        self._running: dict[int, tuple[ModelVersion, asyncio.Task[None]]] = {}
        # What has ended while the catalog was being read: what it said of them is old.
        self._ended: set[int] = set()

    @property
    def busy(self) -> bool:
        """Whether a version is being tried."""
        return bool(self._running)

    async def run_once(self) -> None:
        """Look for versions to try, and begin with as many as may be tried at once. Returns without waiting for them.

        Raises:
            Unavailable: the catalog cannot be reached. What runs goes on.
        """
        self._ended.clear()
        for version in await asyncio.to_thread(self._models.versions_to_load):
            if version.id in self._running or version.id in self._ended:
                continue
            if self._has_room_for(version):
                self._begin(version)
            elif version.status is not _pending(version):
                # The process that tried it has ended: it waits for its turn again.
                with contextlib.suppress(NotFound, Conflict):
                    await asyncio.to_thread(self._models.set_status, version.id, _pending(version))

    async def settled(self) -> None:
        """Wait until what is being tried now has ended."""
        tasks = [task for _, task in self._running.values()]
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """End what is being tried; it begins again with the next supervisor."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _has_room_for(self, version: ModelVersion) -> bool:
        alike = [each for each, _ in self._running.values() if _where(each) == _where(version)]
        return len(alike) < self._limits.at_once

    def _begin(self, version: ModelVersion) -> None:
        task = asyncio.create_task(self._convert(version), name=f"version {version.id}")
        self._running[version.id] = (version, task)

        def ended(_: asyncio.Task[None]) -> None:
            del self._running[version.id]
            self._ended.add(version.id)
            if task.cancelled():
                return
            if error := task.exception():
                # It is tried again at the next `run_once`.
                log.error("trying version %s of %s broke off: %r", version.number, version.name, error)
            else:
                self._on_change()

        task.add_done_callback(ended)

    async def _convert(self, version: ModelVersion) -> None:
        """From pending to ready or error. A version that is deleted meanwhile is forgotten."""
        diary = UploadLog(self._journal, version, every_s=self._limits.log_every_s)
        try:
            if version.status is not _pending(version):
                await self._insist(self._models.set_status, version.id, _pending(version))
                await diary.write("info", "pending", "it was being loaded when the platform ended: it begins again")
            await diary.write("info", "pending", f"pending loading to a {_where(version)} runtime")
            await self._insist(self._models.set_status, version.id, _attempting(version))
            await diary.write("info", "loading", f"attempting loading to a {_where(version)} runtime")
            try:
                loaded = await self._try(version, diary)
            except TrivetError as error:
                await self._failed(version, error, diary)
            except Exception as error:  # an edge: one version must not stand in the way of all others
                log.exception("trying version %s of %s failed", version.number, version.name)
                fault = Internal(f"loading {version.name} failed", why=f"{type(error).__name__}: {error}")
                await self._failed(version, fault, diary)
            else:
                await self._insist(self._models.set_status, version.id, VersionStatus.READY, loaded=loaded)
                await diary.close("info", "ready", f"{version.name} version {version.number} is ready")
        except (NotFound, Conflict):
            # The rows that would say so are gone.
            return

    async def _failed(self, version: ModelVersion, error: TrivetError, diary: UploadLog) -> None:
        fault = Fault.of(error)
        await self._insist(self._models.set_status, version.id, VersionStatus.ERROR, fault=fault)
        await diary.close("error", "error", str(error))

    async def _try(self, version: ModelVersion, diary: UploadLog) -> LoadedModel:
        async with _in_thread(self._scratch()) as folder:
            file = folder / "package"
            await self._with_blobs(diary, self._blobs.fetch, version.sha, file)
            job = TrialJob(
                name=version.name,
                path=str(file),
                file_name=version.file_name,
                flags=version.settings,
                settings=self._settings,
                parent=self._parent,
            )
            try:
                loaded = await self._run(job, diary)
            except Unavailable as error:
                if error.reason != TRIAL_DIED:
                    raise
                # It may have been killed from outside.
                await diary.write("warning", "loading", f"{error.message}; it is tried once more")
                loaded = await self._run(job, diary)
            if loaded.converted is not None:
                await self._with_blobs(diary, self._keep, folder / CONVERTED_FILE, loaded.converted)
            return loaded

    async def _run(self, job: TrialJob, diary: UploadLog) -> LoadedModel:
        limits = self._limits
        diary.begin()
        run = self._trials.run(job, limit_s=limits.trial_s, load_limit_s=limits.load_s, report=diary.hear)
        trial = asyncio.create_task(run)
        writing = asyncio.create_task(diary.follow())
        try:
            await asyncio.wait([trial, writing], return_when=asyncio.FIRST_COMPLETED)
            # The lines about a trial come before those about its end. A deleted version ends its trial.
            diary.stop()
            await writing
            return await trial
        finally:
            trial.cancel()
            writing.cancel()
            await asyncio.wait([trial, writing])

    async def _with_blobs(self, diary: UploadLog, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Several times, since a blob store may be away for seconds."""
        for attempt in itertools.count(1):
            try:
                return await asyncio.to_thread(call, *args, **kwargs)
            except Unavailable as error:
                if attempt == self._limits.fetches:
                    raise
                await diary.write("warning", "fetching", f"{error.message}; trying again")
                await asyncio.sleep(self._pause_s(attempt - 1))
        raise AssertionError("unreachable")

    def _keep(self, file: Path, digest: Digest) -> None:
        """Have the blob store keep a converted file."""
        with file.open("rb") as source:
            self._blobs.put(source, digest=digest)

    async def _insist(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Until the catalog takes it: what was found out took minutes, and a database is away for seconds.

        Raises:
            NotFound, Conflict: the version is not there any more.
        """
        attempt = 0
        while True:
            try:
                return await asyncio.to_thread(call, *args, **kwargs)
            except Unavailable as error:
                if attempt == 0:
                    log.warning("the catalog does not take the state of a version: %s", error.message)
                await asyncio.sleep(self._pause_s(attempt))
                attempt += 1

    def _pause_s(self, attempt: int) -> float:
        # The exponent is capped only so that the power stays a sane number.
        return min(self._limits.first_pause_s * 2.0 ** min(attempt, 32), self._limits.most_pause_s)


def _where(version: ModelVersion) -> str:
    return "native" if _is_native(version) else "container"


def _pending(version: ModelVersion) -> VersionStatus:
    return VersionStatus.PENDING_LOAD_NATIVE if _is_native(version) else VersionStatus.PENDING_LOAD_CONTAINER


def _attempting(version: ModelVersion) -> VersionStatus:
    return VersionStatus.ATTEMPTING_LOAD_NATIVE if _is_native(version) else VersionStatus.ATTEMPTING_LOAD_CONTAINER


def _is_native(version: ModelVersion) -> bool:
    """Whether a version is tried natively first; where it runs is what the trial proves."""
    return FRAMEWORKS[version.framework].first_try is Runtime.NATIVE


@contextlib.asynccontextmanager
async def _in_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """The same block, its ends outside of the event loop."""
    value = await asyncio.to_thread(manager.__enter__)
    try:
        yield value
    finally:
        await asyncio.shield(asyncio.to_thread(manager.__exit__, None, None, None))
