"""A lock -> a finished environment: made in a temporary folder, checked, flushed to the disk, then renamed."""

import ctypes
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from trivet.domain.digest import Digest
from trivet.envs.failures import Circumstances, explanation, is_disk_full, uv_error
from trivet.envs.interpreters import Interpreter
from trivet.envs.known_bad import packages_of
from trivet.envs.progress import Progress
from trivet.envs.records import EnvironmentRecord, write_record
from trivet.envs.unchanged import record_files
from trivet.envs.uv_calls import Uv, UvFailedError
from trivet.errors import BadEnvironment

__all__ = ["RECORD", "build"]

RECORD = "trivet-environment.json"
_SHOWN = 3


def build(
    lock: str,
    *,
    target: Path,
    files: Path,
    interpreter: Interpreter,
    modules: Sequence[str],
    uv: Uv,
    about: Circumstances,
    report: Progress,
) -> None:
    """Makes the environment `target`, whose name is its digest.

    Args:
        lock: requirements with hashes.
        target: its folder, which must not exist.
        files: where its files are written down.
        interpreter: what it runs on.
        modules: must import in it, or the build fails.
        uv: does the work.
        about: facts for the fix in an error.
        report: receives progress.

    Raises:
        BadEnvironment: a package could not be fetched, built, verified or imported.
        OSError: the disk is full.
    """
    packages = packages_of(lock)
    draft = uv.draft
    report("installing", f"{len(packages)} packages", 0, len(packages))
    try:
        uv.make_environment(python=interpreter)
        uv.install(lock, python=interpreter, on_tick=_ticker(draft, total=len(packages), report=report))
    except UvFailedError as error:
        raise uv_error(error.stderr, about=about, timed_out=error.timed_out) from error
    report("installing", f"trying to import {', '.join(modules)}", len(packages), len(packages))
    try:
        uv.try_imports(modules, python=interpreter)
    except UvFailedError as error:
        raise _import_error(error, modules=modules, about=about) from error
    record = EnvironmentRecord(
        digest=Digest(target.name),
        lock=lock,
        packages=packages,
        python_version=interpreter.version_text,
        size_bytes=_size_bytes(draft),
        made=datetime.now(UTC),
    )
    write_record(draft / RECORD, record, drafts=uv.temporary.path)
    record_files(draft, path=files, drafts=uv.temporary.path)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    _flush(draft)
    draft.rename(target)
    _flush_folder(target.parent)


def _ticker(folder: Path, *, total: int, report: Progress) -> Callable[[Sequence[str]], None]:
    """Reports what uv fetches and how much is in place, when either changes."""
    fetching: dict[str, str] = {}
    last: tuple[str, int] = ("", 0)

    def on_tick(lines: Sequence[str]) -> None:
        nonlocal last
        compiling = False
        for line in lines:
            if match := re.match(r"\s*(?:Downloading|Building) (\S+)(?: \((.+)\))?", line):
                fetching[match[1]] = f"{match[1]} ({match[2]})" if match[2] else f"{match[1]} (building)"
            elif match := re.match(r"\s*(?:Downloaded|Built) (\S+)", line):
                fetching.pop(match[1], None)
            elif line.startswith("Installed"):
                compiling = True
        done = min(sum(1 for _ in folder.glob("lib/python*/site-packages/*.dist-info")), total)
        shown = list(fetching.values())
        detail = ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
        if compiling or (done == total and not shown):
            detail = "compiling bytecode"
        elif not detail:
            detail = "packages"
        if (detail, done) != last:
            last = (detail, done)
            report("installing", detail, done, total)

    return on_tick


def _import_error(error: UvFailedError, *, modules: Sequence[str], about: Circumstances) -> BadEnvironment:
    if is_disk_full(error.stderr):
        return uv_error(error.stderr, about=about)
    return BadEnvironment(
        f"The environment was built, but {' and '.join(modules)} cannot be imported in it",
        why=explanation(error.stderr).splitlines()[-1],
        fix=f"the worker needs them: pin releases in requirements.txt that work on Python {about.python}",
        reason="worker_cannot_start",
    )


def _size_bytes(folder: Path) -> int:
    """The sum of its files' sizes, including files that share their blocks with uv's cache."""
    return sum(
        os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - ten thousands of Paths take seconds
        for parent, _, names in os.walk(folder)
        for name in names
    )


def _flush(folder: Path) -> None:
    """Flushes a whole file system in one call: an fsync for each file would take minutes.

    Raises:
        OSError: a write failed.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
