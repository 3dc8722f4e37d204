"""All environments of one Trivet home: found by their inputs, built if they are missing, removed if they are unused."""

import logging
import os
import platform
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from trivet.disk.locks import LockBusyError, TemporaryFolder, held, temporary_folder
from trivet.domain.digest import Digest, digest_of_bytes
from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.envs.build import RECORD, build
from trivet.envs.confined import Confined
from trivet.envs.cuda_only import asks_for_cuda_only, with_cpu_builds, without_cuda_only
from trivet.envs.failures import Circumstances, disk_error
from trivet.envs.interpreters import OWN_MINOR, Interpreter, describe, find_interpreters
from trivet.envs.known_bad import KNOWN_BAD
from trivet.envs.pip_config import read_pip_config
from trivet.envs.progress import Progress, silent
from trivet.envs.records import EnvironmentRecord, LockRecord, ReplacementRecord, read_record, write_record
from trivet.envs.resolve import Resolved, checked_requirements, resolve
from trivet.envs.unchanged import changed_file
from trivet.envs.uv_calls import Uv, uv_program
from trivet.envs.uv_settings import UvSettings, uv_settings
from trivet.envs.wheel_folder import digest_of_wheels
from trivet.envs.worker_needs import modules_of, requirements_of_worker
from trivet.errors import BadEnvironment, NotFound, Unavailable

__all__ = ["EnvironmentInfo", "EnvironmentStore", "Infos"]

_log = logging.getLogger(__name__)

# Longer than any real build: a builder that hangs reaches its own limits first.
_WAIT_S = 3 * 3600.0
_IN_USE_WAIT_S = 10.0
_LAST_USED = ".last-used"


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentInfo:
    """What `env list` shows.

    Attributes:
        python_version: `3.8.18`.
        size_bytes: of all its files, including those that share their blocks with uv's cache.
        packages: `name==version`, in order of name.
        made: when it was finished, UTC.
        last_used: when it was last requested, UTC.
    """

    digest: Digest
    python_version: str
    size_bytes: int
    packages: tuple[str, ...]
    made: datetime
    last_used: datetime


Infos = list[EnvironmentInfo]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Want:
    """One call of `ensure`: the request, and how it may be met. `key` is the digest of its inputs."""

    key: Digest
    spec: EnvironmentSpec
    releases: tuple[str, ...]
    settings: UvSettings
    offline: bool
    wheels: Path | None


class EnvironmentStore:
    """Environments by digest below one folder.

    `locks/` holds resolved requirements, by their inputs; `environments/` what was built, by lock, Python and platform;
    `files/` what their files were; `replaced/` the replacements of lost ones; `held/` lock files between processes; `tmp/` unfinished files.

    Args:
        root: the folder; created on first use.
        environ: the environment variables for pip, uv and the search for interpreters.
        worker_requirements: added to every environment; None reads them from the trivet-worker distribution.
        source_builds: whether packages without a wheel may be built, which runs their code.
        confined: what code of packages is kept to meanwhile.
        cuda: whether packages that only a GPU uses are installed.
    """

    def __init__(
        self,
        root: Path,
        *,
        environ: Mapping[str, str],
        worker_requirements: tuple[str, ...] | None = None,
        source_builds: bool = True,
        confined: Confined | None = None,
        cuda: bool = True,
    ) -> None:
        self._cuda = cuda
        self._confined = confined or Confined()
        self._source_builds = source_builds
        self._root = root.absolute()
        self._environ = dict(environ)
        self._worker = requirements_of_worker() if worker_requirements is None else worker_requirements

    def ensure(
        self,
        spec: EnvironmentSpec,
        *,
        releases: tuple[str, ...] = (),
        offline: bool = False,
        wheels: Path | None = None,
        report: Progress = silent,
    ) -> Environment:
        """Finds the environment of a spec, or builds it.

        A second call with the same inputs takes a few milliseconds and starts no process. Inputs are the spec, the
        platform, the package index's settings and the bytes in `wheels`: a lock does not change until it is pruned.

        Args:
            spec: what it must hold.
            releases: `name==version`: the only releases allowed for these packages.
            offline: fetch nothing: use what is built, uv's cache, or `wheels` alone if that is given.
            wheels: a folder of wheels to take packages from, before any index.
            report: receives progress.

        Raises:
            BadEnvironment: it cannot be resolved or built; the interpreter is missing; the disk is full.
            Unavailable: another process has been building it for hours.
        """
        try:
            want = self._want(spec, releases=releases, offline=offline, wheels=wheels)
            return self._ready(want.key) or self._make(want, report=report)
        except OSError as error:
            raise disk_error(error, folder=self._root) from error
        except LockBusyError as error:
            raise Unavailable(
                "The environment is being built by another process",
                why=f"the build has been running for more than {_WAIT_S / 3600:.0f} hours",
                fix="end that process, then try again",
            ) from error

    def resolve_for(
        self,
        spec: EnvironmentSpec,
        *,
        target: str,
        offline: bool = False,
        wheels: Path | None = None,
        report: Progress = silent,
    ) -> tuple[str, str, tuple[str, ...]]:
        """Resolves a spec for another kind of machine, from wheels where they are enough. No environment is built.

        Args:
            spec: what the environment must hold.
            target: uv's name of the platform: `aarch64-manylinux_2_28`.
            offline: as for `ensure`.
            wheels: the same.
            report: receives progress.

        Returns:
            The lock, the version of the interpreter, and notes for the user.

        Raises:
            BadEnvironment: there is no solution: a package has neither a wheel for that platform nor a source that may be built.
        """
        want = self._want(spec, releases=(), offline=offline, wheels=wheels)
        settings = want.settings.with_arguments("--python-platform", target)
        refuses_builds = "--no-build" in settings.arguments
        try:
            only_wheels = settings if refuses_builds else settings.with_arguments("--no-build")
            return self._resolve_for(want, only_wheels, report=report)
        except BadEnvironment:
            if refuses_builds:
                raise
        lock, python, notes = self._resolve_for(want, settings, report=report)
        return lock, python, (*notes, f"a package has no wheel for {target}: it is built from source there")

    def _resolve_for(self, want: _Want, settings: UvSettings, *, report: Progress) -> tuple[str, str, tuple[str, ...]]:
        try:
            with temporary_folder(self._root / "tmp") as space:
                uv = Uv(program=uv_program(), settings=settings, temporary=space, confined=self._confined)
                interpreters = find_interpreters(self._environ, uv=uv.program)
                there = describe(interpreters)
                about = Circumstances(folder=self._root, offline=want.offline, wheels=want.wheels, there=there)
                found = resolve(
                    want.spec, worker=self._worker, interpreters=interpreters, uv=uv, about=about, report=report
                )
        except OSError as error:
            raise disk_error(error, folder=self._root) from error
        return found.lock, found.interpreter.version_text, found.notes

    def find(self, digest: Digest) -> Environment | None:
        """The finished environment of a digest, or its replacement; None if there is neither.

        Starts no process, and fetches nothing.
        """
        found = self._find(digest)
        if found is None:
            replacement = read_record(self._replacement(digest), ReplacementRecord)
            found = None if replacement is None else self._find(replacement.environment)
        return found

    def stand_in(self, environment: Environment, *, lost: Digest) -> None:
        """Records the replacement of an environment that is gone: `find` returns it from now on.

        Raises:
            BadEnvironment: the folder is not writable.
        """
        try:
            with temporary_folder(self._root / "tmp") as space:
                record = ReplacementRecord(environment=environment.digest)
                write_record(self._replacement(lost), record, drafts=space.path)
        except OSError as error:
            raise disk_error(error, folder=self._root) from error

    def _find(self, digest: Digest) -> Environment | None:
        folder = self._folder(digest)
        record = read_record(folder / RECORD, EnvironmentRecord)
        if record is None or not self._is_finished(digest) or self._discard_changed(digest):
            return None
        with suppress(OSError):
            (folder / _LAST_USED).touch()
        return Environment(
            digest=digest, python=folder / "bin/python", python_version=record.python_version, lock=record.lock
        )

    @contextmanager
    def in_use(self, environment: Environment) -> Iterator[None]:
        """Protects an environment from pruning by any process, for the length of a `with` block.

        Raises:
            NotFound: it was already pruned; `ensure` rebuilds it.
        """
        try:
            with held(self._lock_file(environment.digest), shared=True, wait_s=_IN_USE_WAIT_S):
                if not self._is_finished(environment.digest):
                    raise NotFound(
                        f"The environment {environment.digest[:12]} is not there any more",
                        why="it was pruned",
                        fix="load the model again, which rebuilds it",
                    )
                yield
        except LockBusyError as error:
            raise Unavailable(
                f"The environment {environment.digest[:12]} is being changed by another process",
                fix="try again in a moment",
            ) from error

    def prune(self, *, unused_for: timedelta | None = None) -> Infos:
        """Removes environments, the locks that name them, and the files of builders that crashed.

        Args:
            unused_for: only environments that were not requested for that time; None for all.

        Returns:
            What was removed. An environment that is in use or being built is skipped.

        Raises:
            BadEnvironment: the folder is not writable.
        """
        before = None if unused_for is None else datetime.now(UTC) - unused_for
        try:
            with temporary_folder(self._root / "tmp") as space:
                removed = [info for info in self.list() if self._prune_one(info.digest, before=before, space=space)]
                self._discard_strangers(space)
            gone = {info.digest for info in removed}
            for digest in gone:
                self._files(digest).unlink(missing_ok=True)
            for file in self._root.glob("locks/*.json"):
                lock = read_record(file, LockRecord)
                if lock is None or lock.environment in gone:
                    file.unlink(missing_ok=True)
            for file in self._root.glob("replaced/*.json"):
                replacement = read_record(file, ReplacementRecord)
                if replacement is None or replacement.environment in gone:
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, folder=self._root) from error
        return removed

    def list(self) -> Infos:
        """The finished environments, the most recently used first."""
        found = []
        for folder in self._root.glob("environments/*"):
            record = read_record(folder / RECORD, EnvironmentRecord)
            if record is None:
                continue
            found.append(
                EnvironmentInfo(
                    digest=record.digest,
                    python_version=record.python_version,
                    size_bytes=record.size_bytes,
                    packages=record.packages,
                    made=record.made,
                    last_used=_last_used(folder, made=record.made),
                )
            )
        return sorted(found, key=lambda info: info.last_used, reverse=True)

    def _want(self, spec: EnvironmentSpec, *, releases: tuple[str, ...], offline: bool, wheels: Path | None) -> _Want:
        settings = uv_settings(
            self._environ,
            read_pip_config(self._environ),
            cache=self._root / "uv-cache",
            source_builds=self._source_builds and (self._confined.mode != "required" or self._confined.active),
        )
        inputs = [
            spec,
            spec.python or [*OWN_MINOR, "or a Python with wheels"],
            _platform(),
            self._worker,
            repr(KNOWN_BAD),
            settings.fingerprint,
            digest_of_wheels(
                wheels, memory=self._root / "wheels.json", drafts=self._root / "tmp", now_ns=time.time_ns()
            )
            if wheels is not None
            else None,
            *([releases] if releases else []),
            *([] if self._cuda or not asks_for_cuda_only(checked_requirements(spec.requirements)) else ["no cuda"]),
        ]
        if wheels is not None:
            settings = settings.with_wheels(wheels)
        if offline:
            settings = settings.with_arguments("--offline", *(["--no-index"] if wheels is not None else []))
        key = digest_of_bytes(msgspec.json.encode(inputs))
        return _Want(key=key, spec=spec, releases=releases, settings=settings, offline=offline, wheels=wheels)

    def _ready(self, key: Digest) -> Environment | None:
        """The environment of a set of inputs, where it is finished."""
        lock = read_record(self._lock_record(key), LockRecord)
        if lock is None or not self._is_finished(lock.environment) or self._discard_changed(lock.environment):
            return None
        folder = self._folder(lock.environment)
        # A read-only store (in an image) still serves what it holds.
        with suppress(OSError):
            (folder / _LAST_USED).touch()
        return Environment(
            digest=lock.environment,
            python=folder / "bin/python",
            python_version=lock.python_version,
            lock=lock.lock,
            notes=lock.notes,
        )

    def _make(self, want: _Want, *, report: Progress) -> Environment:
        def waiting() -> None:
            report("resolving", "another process is building this environment; waiting for it", None, None)

        with held(self._lock_file(want.key), wait_s=_WAIT_S, on_wait=waiting):
            found = self._ready(want.key)
            if found is not None:
                return found
            with temporary_folder(self._root / "tmp") as space:
                uv = Uv(program=uv_program(), settings=want.settings, temporary=space, confined=self._confined)
                self._make_here(want, uv=uv, report=report)
        found = self._ready(want.key)
        if found is None:
            raise Unavailable("The environment was pruned as soon as it was built", fix="try again")
        return found

    def _make_here(self, want: _Want, *, uv: Uv, report: Progress) -> None:
        interpreters = find_interpreters(self._environ, uv=uv.program)
        about = Circumstances(folder=self._root, offline=want.offline, wheels=want.wheels, there=describe(interpreters))
        lock = read_record(self._lock_record(want.key), LockRecord)
        interpreter = _the_same(lock, interpreters) if lock is not None else None
        if lock is None or interpreter is None:
            resolved, locked = self._resolved(want, interpreters=interpreters, uv=uv, about=about, report=report)
            interpreter = resolved.interpreter
            about = replace(about, sources=resolved.sources)
            lock = LockRecord(
                environment=_environment_digest(locked, interpreter),
                lock=locked,
                interpreter=str(interpreter.path),
                python_version=interpreter.version_text,
                notes=resolved.notes,
            )
            write_record(self._lock_record(want.key), lock, drafts=uv.temporary.path)

        # The users of a finished environment hold it while their workers run: do not wait for them.
        if self._is_finished(lock.environment):
            return

        def waiting() -> None:
            report("installing", "another process is building this environment; waiting for it", None, None)

        # Shared, so that it is not pruned meanwhile: workers hold an environment also if its files were removed.
        building = self._lock_file(lock.environment).with_suffix(".build")
        with (
            held(self._lock_file(lock.environment), shared=True, wait_s=_WAIT_S, on_wait=waiting),
            held(building, wait_s=_WAIT_S, on_wait=waiting),
        ):
            if self._is_finished(lock.environment):
                return
            target = self._folder(lock.environment)
            if target.exists():
                # Its interpreter or some of its files were removed.
                target.rename(uv.temporary.path / "broken")
            build(
                lock.lock,
                target=target,
                files=self._files(lock.environment),
                interpreter=interpreter,
                modules=modules_of(self._worker),
                uv=uv,
                about=replace(about, python=interpreter.version_text),
                report=report,
            )

    def _resolved(
        self,
        want: _Want,
        *,
        interpreters: Sequence[Interpreter],
        uv: Uv,
        about: Circumstances,
        report: Progress,
    ) -> tuple[Resolved, str]:
        """Versions for the request, and what is locked of them: without what only a GPU uses, where there is none."""

        def resolved_for(spec: EnvironmentSpec) -> Resolved:
            return resolve(
                spec,
                worker=self._worker,
                interpreters=interpreters,
                uv=uv,
                about=about,
                report=report,
                constraints=want.releases,
            )

        if self._cuda:
            found = resolved_for(want.spec)
            return found, found.lock
        asked = checked_requirements(want.spec.requirements)
        requirements, notes = with_cpu_builds(asked)
        try:
            found = resolved_for(replace(want.spec, requirements=requirements) if notes else want.spec)
        except BadEnvironment:
            if not notes:
                raise
            found, notes, requirements = resolved_for(want.spec), (), asked
        locked, left_out = without_cuda_only(found.lock, requirements=requirements)
        return replace(found, notes=(*found.notes, *notes, *left_out)), locked

    def _prune_one(self, digest: Digest, *, before: datetime | None, space: TemporaryFolder) -> bool:
        folder = self._folder(digest)
        try:
            with held(self._lock_file(digest)):
                record = read_record(folder / RECORD, EnvironmentRecord)
                if record is None or (before is not None and _last_used(folder, made=record.made) > before):
                    return False
                # The rename removes it at once; the temporary folder takes its files.
                folder.rename(space.path / digest)
                return True
        except LockBusyError:
            return False

    def _discard_strangers(self, space: TemporaryFolder) -> None:
        """Removes what no version of this code uses: folders without a readable record."""
        for folder in self._root.glob("environments/*"):
            if read_record(folder / RECORD, EnvironmentRecord) is not None:
                continue
            with suppress(LockBusyError), held(self._lock_file(Digest(folder.name))):
                folder.rename(space.path / folder.name)

    def _is_finished(self, digest: Digest) -> bool:
        folder = self._folder(digest)
        # `exists` follows the link to the interpreter, which may be gone.
        return (folder / RECORD).exists() and (folder / "bin/python").exists()

    def _discard_changed(self, digest: Digest) -> bool:
        """Removes an environment whose files were changed since it was built, so that it is built again. Whether it was removed."""
        if self._confined.protects:
            return False
        changed = changed_file(self._folder(digest), path=self._files(digest))
        if changed is None:
            return False
        _log.warning("the environment %s is built again: %s was changed since it was built", digest[:12], changed)
        with temporary_folder(self._root / "tmp") as space, suppress(FileNotFoundError):
            self._folder(digest).rename(space.path / digest)
        return True

    def _files(self, digest: Digest) -> Path:
        return self._root / "files" / f"{digest}.json"

    def _folder(self, digest: Digest) -> Path:
        return self._root / "environments" / digest

    def _replacement(self, lost: Digest) -> Path:
        return self._root / "replaced" / f"{lost}.json"

    def _lock_file(self, digest: Digest) -> Path:
        return self._root / "held" / f"{digest}.lock"

    def _lock_record(self, key: Digest) -> Path:
        return self._root / "locks" / f"{key}.json"


def _platform() -> str:
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else ""
    return f"{sys.platform}-{platform.machine()}-{libc}"


def _environment_digest(lock: str, interpreter: Interpreter) -> Digest:
    return digest_of_bytes(msgspec.json.encode([lock, interpreter.version_text, _platform()]))


def _the_same(lock: LockRecord, interpreters: Collection[Interpreter]) -> Interpreter | None:
    """The interpreter that a lock was resolved for, if this machine has one of the same version."""
    matching = [found for found in interpreters if found.version_text == lock.python_version]
    own = [found for found in matching if str(found.path) == lock.interpreter]
    return next(iter(own or matching), None)


def _last_used(folder: Path, *, made: datetime) -> datetime:
    try:
        return datetime.fromtimestamp((folder / _LAST_USED).stat().st_mtime, tz=UTC)
    except FileNotFoundError:
        return made
