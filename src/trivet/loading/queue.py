"""LoadQueue: uploaded versions become `ready` or `error`, each by a trial.

The catalog is the only record of work. A version whose load was interrupted, because the supervisor or the machine ended,
starts again from its pending status.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from trivet.blobs import Blobs
from trivet.domain.digest import Digest
from trivet.domain.fault import Fault
from trivet.domain.frameworks import FRAMEWORKS, Runtime
from trivet.domain.pauses import doubling_s
from trivet.domain.version import CONVERTED_FILE, LoadedModel, ModelVersion, VersionStatus
from trivet.errors import Conflict, Internal, NotFound, TrivetError, Unavailable
from trivet.loading.log_lines import UploadLines, UploadLog
from trivet.loading.threads import in_thread
from trivet.loading.trials import TRIAL_DIED, TrialJob, Trials

__all__ = ["LoadQueue", "LoadQueueLimits", "UploadRecords"]

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class UploadRecords(Protocol):
    """The catalog's models; `loading` does not import them, because `trivet serve` has no catalog."""

    def versions_to_load(self) -> list[ModelVersion]:
        """Versions that are neither ready nor in error, oldest first."""

    def set_status(
        self, version_id: int, status: VersionStatus, *, loaded: LoadedModel | None = None, fault: Fault | None = None
    ) -> ModelVersion:
        """Write a version's status.

        Raises:
            NotFound: the version was deleted.
        """

    def package_in_use(self, sha: Digest) -> bool:
        """Whether any version has these bytes, as they were uploaded or as what they were converted to."""

    def package_runs(self, sha: Digest) -> bool:
        """Whether a version that is not in error has these bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadQueueLimits:
    """Limits of the queue.

    Attributes:
        at_once: versions of each kind, native and container, that load at once: models that load within a second do not
            wait for environments that take minutes.
        trial_s: limit of one trial, including the build of its environment.
        load_s: limit from the start of the model's load.
        log_every_s: between two lines about the same stage.
        first_pause_s: before the first retry of the catalog or the blob store; each further pause is twice as long …
        most_pause_s: … up to this.
        fetches: attempts to read or write a blob before the version fails.
    """

    at_once: int = 2
    trial_s: float = 3 * 3600.0
    load_s: float = 660.0
    log_every_s: float = 1.0
    first_pause_s: float = 0.2
    most_pause_s: float = 10.0
    fetches: int = 8


class LoadQueue:
    """Loads versions until none is pending. Call it in one event loop.

    Args:
        models: the versions and their statuses. Called in threads.
        journal: for log lines and events. Called in threads.
        blobs: holds the uploaded files. Called in threads.
        trials: loads one.
        scratch: a private folder for the length of a `with` block.
        settling: held while a blob and the row that names it are stored or deleted together.
        discard_package: removes the unpacked files of a package.
        settings: for the trials, as `settings_to_json` writes them.
        parent: this process's id: trials end with it.
        limits: see there.
        on_change: called when a version became ready or failed: there may be more to load.
    """

    def __init__(
        self,
        *,
        models: UploadRecords,
        journal: UploadLines,
        blobs: Blobs,
        trials: Trials,
        scratch: Callable[[], AbstractContextManager[Path]],
        settling: Callable[[], AbstractContextManager[None]],
        discard_package: Callable[[Digest], None],
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
        self._settling = settling
        self._discard_package = discard_package
        self._settings = settings
        self._parent = parent
        self._limits = limits
        self._on_change = on_change
        self._running: dict[int, tuple[ModelVersion, asyncio.Task[None]]] = {}
        # Versions that ended while the catalog was being read: their statuses in it are old.
        self._ended: set[int] = set()

    async def run_once(self) -> None:
        """Start to load pending versions, up to the limit. Returns without waiting for them.

        Raises:
            Unavailable: the catalog cannot be reached. Running loads continue.
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
        """Wait until the running loads have ended."""
        tasks = [task for _, task in self._running.values()]
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """End the running loads; the next supervisor starts them again."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _has_room_for(self, version: ModelVersion) -> bool:
        alike = [each for each, _ in self._running.values() if _runtime_of(each) == _runtime_of(version)]
        return len(alike) < self._limits.at_once

    def _begin(self, version: ModelVersion) -> None:
        task = asyncio.create_task(self._load(version), name=f"version {version.id}")
        self._running[version.id] = (version, task)

        def ended(_: asyncio.Task[None]) -> None:
            del self._running[version.id]
            self._ended.add(version.id)
            if task.cancelled():
                return
            if error := task.exception():
                # It is tried again at the next `run_once`.
                log.error("loading version %s of %s was interrupted: %r", version.number, version.name, error)
            else:
                self._on_change()

        task.add_done_callback(ended)

    async def _load(self, version: ModelVersion) -> None:
        """From pending to ready or error. A version that is deleted meanwhile is dropped."""
        upload_log = UploadLog(self._journal, version, every_s=self._limits.log_every_s)
        try:
            if version.status is not _pending(version):
                await self._retry(self._models.set_status, version.id, _pending(version))
                await upload_log.write("info", "pending", "the platform ended while it was loading: it starts again")
            await upload_log.write("info", "pending", f"pending loading to a {_runtime_of(version)} runtime")
            await self._retry(self._models.set_status, version.id, _attempting(version))
            await upload_log.write("info", "loading", f"attempting loading to a {_runtime_of(version)} runtime")
            async with contextlib.AsyncExitStack() as stack:
                try:
                    folder = await stack.enter_async_context(in_thread(self._scratch()))
                    loaded = await self._try(version, folder, upload_log)
                except TrivetError as error:
                    await self._failed(version, error, upload_log)
                except Exception as error:  # an edge: one version must not block the others
                    log.exception("failed to load version %s of %s", version.number, version.name)
                    fault = Internal(f"loading {version.name} failed", why=f"{type(error).__name__}: {error}")
                    await self._failed(version, fault, upload_log)
                else:
                    await self._retry(self._set_ready, version, loaded, folder / CONVERTED_FILE)
                    await upload_log.close("info", "ready", f"{version.name} version {version.number} is ready")
        except (NotFound, Conflict):
            # The version's rows are gone.
            await asyncio.to_thread(self._discard, version.sha)

    async def _failed(self, version: ModelVersion, error: TrivetError, upload_log: UploadLog) -> None:
        fault = Fault.of(error)
        await self._retry(self._models.set_status, version.id, VersionStatus.ERROR, fault=fault)
        await asyncio.to_thread(self._discard, version.sha)
        await upload_log.close("error", "error", str(error))

    def _discard(self, digest: Digest) -> None:
        """Remove unpacked files that no version needs. Files that cannot be removed now take up space and do no harm."""
        try:
            with self._settling():
                if not self._models.package_runs(digest):
                    self._discard_package(digest)
        except TrivetError as error:
            log.warning("the files of the package %s could not be removed: %s", digest[:12], error.message)

    async def _try(self, version: ModelVersion, folder: Path, upload_log: UploadLog) -> LoadedModel:
        file = folder / "package"
        await self._with_blobs(upload_log, self._blobs.fetch, version.sha, file)
        job = TrialJob(
            name=version.name,
            path=str(file),
            file_name=version.file_name,
            flags=version.settings,
            arch=version.arch,
            accel=version.accel,
            settings=self._settings,
            parent=self._parent,
        )
        try:
            loaded = await self._run(job, upload_log)
        except Unavailable as error:
            if error.reason != TRIAL_DIED:
                raise
            # Another process may have killed it.
            await upload_log.write("warning", "loading", f"{error.message}; trying once more")
            loaded = await self._run(job, upload_log)
        if loaded.converted is not None:
            await self._with_blobs(upload_log, self._keep, folder / CONVERTED_FILE, loaded.converted)
        return loaded

    async def _run(self, job: TrialJob, upload_log: UploadLog) -> LoadedModel:
        limits = self._limits
        upload_log.begin()
        run = self._trials.run(job, limit_s=limits.trial_s, load_limit_s=limits.load_s, report=upload_log.add)
        trial = asyncio.create_task(run)
        writing = asyncio.create_task(upload_log.follow())
        try:
            await asyncio.wait([trial, writing], return_when=asyncio.FIRST_COMPLETED)
            # Write the lines of a trial before those about its end. A deleted version ends its trial.
            upload_log.stop()
            await writing
            return await trial
        finally:
            trial.cancel()
            writing.cancel()
            await asyncio.wait([trial, writing])

    async def _with_blobs(self, upload_log: UploadLog, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """With retries, because a blob store may be unreachable for seconds."""
        for attempt in itertools.count(1):
            try:
                return await asyncio.to_thread(call, *args, **kwargs)
            except Unavailable as error:
                if attempt == self._limits.fetches:
                    raise
                await upload_log.write("warning", "fetching", f"{error.message}; trying again")
                await asyncio.sleep(self._pause_s(attempt - 1))
        raise AssertionError("unreachable")

    def _keep(self, file: Path, digest: Digest) -> None:
        """Store a converted file as a blob."""
        with file.open("rb") as source:
            self._blobs.put(source, digest=digest)

    def _set_ready(self, version: ModelVersion, loaded: LoadedModel, converted: Path) -> None:
        """Write that a version is ready, with its converted file in the blob store."""
        with self._settling():
            # Another model with the same converted file may have been deleted since it was stored.
            if loaded.converted is not None and not self._blobs.has(loaded.converted):
                self._keep(converted, loaded.converted)
            try:
                self._models.set_status(version.id, VersionStatus.READY, loaded=loaded)
            except (NotFound, Conflict):
                if loaded.converted is not None and not self._models.package_in_use(loaded.converted):
                    self._blobs.delete(loaded.converted)
                raise

    async def _retry(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Retry until catalog and blob store accept it: the result took minutes, and a database is unreachable for seconds.

        Raises:
            NotFound, Conflict: the version was deleted.
        """
        attempt = 0
        while True:
            try:
                return await asyncio.to_thread(call, *args, **kwargs)
            except Unavailable as error:
                if attempt == 0:
                    log.warning("failed to write a version's state: %s", error.message)
                await asyncio.sleep(self._pause_s(attempt))
                attempt += 1

    def _pause_s(self, attempt: int) -> float:
        return doubling_s(attempt, first_s=self._limits.first_pause_s, most_s=self._limits.most_pause_s)


def _runtime_of(version: ModelVersion) -> str:
    return "native" if _is_native(version) else "container"


def _pending(version: ModelVersion) -> VersionStatus:
    return VersionStatus.PENDING_LOAD_NATIVE if _is_native(version) else VersionStatus.PENDING_LOAD_CONTAINER


def _attempting(version: ModelVersion) -> VersionStatus:
    return VersionStatus.ATTEMPTING_LOAD_NATIVE if _is_native(version) else VersionStatus.ATTEMPTING_LOAD_CONTAINER


def _is_native(version: ModelVersion) -> bool:
    """Whether a version is tried natively first; the trial decides where it runs."""
    return FRAMEWORKS[version.framework].first_try is Runtime.NATIVE
