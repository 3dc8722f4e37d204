"""Checks for common problems of a platform; each finding has a fix. Changes nothing."""

import os
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trivet.errors import TrivetError
from trivet.settings import Settings
from trivet.wiring.listening import LISTENERS, listen
from trivet.wiring.protections import find_protections
from trivet.wiring.running_platform import read_platform
from trivet.workers.devices import find_devices

__all__ = ["Finding", "examine"]

LITTLE_DISK = 2 * 2**30
ANSWER_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        verdict: `ok`, `warn` for a possible problem, `fail` for a problem.
        fix: what to do.
    """

    subject: str
    verdict: Literal["ok", "warn", "fail"]
    detail: str
    fix: str | None = None


def examine(settings: Settings) -> Iterator[Finding]:
    """Run all checks in order."""
    yield _python()
    yield from _home(settings.home)
    yield _uv()
    yield _interpreters()
    yield _devices()
    yield _sandbox(settings)
    platform = read_platform(settings.home)
    if platform is None:
        yield Finding(subject="platform", verdict="ok", detail="no platform runs from this home", fix="trivet up")
        yield from _ports(settings)
        yield _database(settings)
    else:
        yield from _running(platform.control_url, platform.infer_url, platform.pid)
    yield _blobs(settings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(subject="python", verdict="ok", detail=f"{version} at {sys.executable}")


def _home(home: Path) -> Iterator[Finding]:
    if not home.exists():
        yield Finding(subject="home", verdict="ok", detail=f"{home} does not exist yet; `trivet up` creates it")
        return
    mode = stat.S_IMODE(home.stat().st_mode)
    if not os.access(home, os.W_OK | os.X_OK):
        yield Finding(
            subject="home", verdict="fail", detail=f"{home} is not writable", fix="check its owner and permissions"
        )
        return
    if mode & 0o077:
        fix = f"chmod 700 {home}"
        yield Finding(subject="home", verdict="warn", detail=f"other users can read {home} (mode {mode:o})", fix=fix)
    else:
        yield Finding(subject="home", verdict="ok", detail=str(home))
    free = shutil.disk_usage(home).free
    detail = f"{free / 2**30:.1f} GiB free"
    if free < LITTLE_DISK:
        fix = "make room: `trivet env prune` removes unused environments"
        yield Finding(subject="disk", verdict="warn", detail=detail, fix=fix)
    else:
        yield Finding(subject="disk", verdict="ok", detail=detail)
    token = home / "token"
    if token.exists() and stat.S_IMODE(token.stat().st_mode) & 0o077:
        yield Finding(
            subject="token",
            verdict="fail",
            detail="other users can read the token",
            fix=f"chmod 600 {token}, or make a new one",
        )
    elif token.exists():
        yield Finding(subject="token", verdict="ok", detail="only its owner can read it")


def _uv() -> Finding:
    from trivet.envs.uv_calls import uv_program

    try:
        detail = subprocess.run(
            [uv_program(), "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError, TrivetError) as error:
        return Finding(subject="uv", verdict="fail", detail=str(error), fix="install Trivet again: uv comes with it")
    return Finding(subject="uv", verdict="ok", detail=detail)


def _interpreters() -> Finding:
    from trivet.envs.interpreters import find_interpreters
    from trivet.envs.uv_calls import uv_program

    minors = sorted({found.minor for found in find_interpreters(os.environ, uv=uv_program())})
    shown = ", ".join(f"{major}.{minor}" for major, minor in minors)
    return Finding(subject="interpreters", verdict="ok", detail=f"models may run on Python {shown}")


def _devices() -> Finding:
    found = find_devices(os.environ)
    detail = f"workers may have GPUs {', '.join(found)}" if found else "none is visible: models run on processors"
    return Finding(subject="gpus", verdict="ok", detail=detail)


def _sandbox(settings: Settings) -> Finding:
    found = find_protections(settings)
    if settings.sandbox == "off":
        fix = "set TRIVET_SANDBOX=on"
        return Finding(subject="sandbox", verdict="warn", detail="off: models have all rights of this user", fix=fix)
    if not found.landlock:
        return Finding(
            subject="sandbox",
            verdict="fail" if settings.sandbox == "required" else "warn",
            detail=found.sentence,
            fix="use Linux 5.13 or newer with Landlock enabled, and 6.12 for all of it",
        )
    return Finding(subject="sandbox", verdict="ok", detail=found.sentence)


def _ports(settings: Settings) -> Iterator[Finding]:
    for row in LISTENERS.values():
        subject, port = row.setting.replace("_", " "), getattr(settings, row.setting)
        try:
            listen(settings.host, port, flag=row.flag).close()
        except TrivetError as error:
            yield Finding(subject=subject, verdict="fail", detail=error.message, fix=error.fix)
        else:
            yield Finding(subject=subject, verdict="ok", detail=f"{settings.host}:{port} is free")


def _database(settings: Settings) -> Finding:
    from trivet.catalog.inspection import inspect_catalog

    if settings.database_url is None and not (settings.home / "catalog.db").exists():
        return Finding(subject="database", verdict="ok", detail="a SQLite file in the home, which `trivet up` creates")
    try:
        detail = inspect_catalog(settings.database_url or f"sqlite:///{settings.home / 'catalog.db'}")
    except TrivetError as error:
        return Finding(subject="database", verdict="fail", detail=error.message, fix=error.fix)
    return Finding(subject="database", verdict="ok", detail=detail)


def _running(control_url: str, infer_url: str, pid: int) -> Iterator[Finding]:
    yield Finding(subject="platform", verdict="ok", detail=f"runs (pid {pid}): {control_url}, {infer_url}")
    for subject, url in (("control", control_url), ("gateway", infer_url)):
        status, detail = _ask(f"{url}/readyz")
        if status == 200:
            yield Finding(subject=subject, verdict="ok", detail="ready")
        else:
            fix = "read the platform's log; `trivet status` shows the deployments"
            yield Finding(subject=subject, verdict="fail", detail=detail, fix=fix)


def _ask(url: str) -> tuple[int, str]:
    import ssl

    # The request goes to this machine and holds no secret.
    context = ssl._create_unverified_context() if url.startswith("https") else None  # noqa: S323, SLF001
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S, context=context) as answer:  # noqa: S310 - our own
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.read(2000).decode(errors="replace")
    except OSError as error:
        return 0, str(error)


def _blobs(settings: Settings) -> Finding:
    from trivet.blobs import open_blobs
    from trivet.domain.digest import digest_of_bytes

    if settings.blob_url is None:
        return Finding(subject="blobs", verdict="ok", detail="a folder in the home")
    try:
        open_blobs(settings.blob_url, home=settings.home).has(digest_of_bytes(b""))
    except TrivetError as error:
        return Finding(subject="blobs", verdict="fail", detail=error.message, fix=error.fix)
    return Finding(subject="blobs", verdict="ok", detail="the store answers")
