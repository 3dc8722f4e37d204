"""Turns failures of uv and of the disk into errors with a fix."""

import errno
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from trivet.errors import BadEnvironment

__all__ = [
    "WHAT",
    "Circumstances",
    "disk_error",
    "explanation",
    "is_about_python",
    "is_disk_full",
    "uv_error",
    "without_wheels",
]

WHAT = "Could not pip install user provided requirements.txt"

_MAX_EXPLANATION = 2000
_MAX_SUMMARY = 300
_DISK_FULL = {
    errno.ENOSPC: "no space is left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file would be larger than this process may write",
}
_CHATTER = re.compile(
    r"^\s*(Downloading|Downloaded|Building|Built|Resolved|Prepared|Using|Installed|Audited|Creating|Activate) .*$",
    re.MULTILINE,
)
_PYTHON = re.compile(
    r"Python (ABI )?(tag|version|implementation)|does not satisfy Python|requires? Python|Requires-Python|Python[<>]=?\d"
)
_NO_WHEEL = re.compile(r"Because (\S+?)==\S+ has no (?:usable )?wheels|Wheels are required for `([^`]+)`")
_BECAUSE = re.compile(r"(?:^|[.:] )(?:And b|B)ecause (.+?)(?:, we can conclude|$)")
_BUILD = re.compile(r"Failed to (?:download and )?build `([^`]+)`")
_LAST_ERROR = re.compile(r"^\s*(?:\w+\.)*\w*(?:Error|Exception): .*$", re.MULTILINE)
_DISK = re.compile(r"No space left on device|\(os error (28|122|27)\)|File too large|Disk quota|SIGXFSZ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """How uv was called; the fix depends on it.

    Attributes:
        folder: the store's.
        offline: nothing may be fetched.
        wheels: the given folder of wheels.
        python: the version to resolve for.
        there: the versions on this machine.
        worker: the worker's requirements, which are added to the model's.
        sources: packages that have no wheel for any Python on this machine.
    """

    folder: Path
    offline: bool = False
    wheels: Path | None = None
    python: str = ""
    there: str = ""
    worker: str = ""
    sources: tuple[str, ...] = ()


class _Remedy(NamedTuple):
    """The fix for failures whose text matches `pattern`; it may name any field of `Circumstances`."""

    reason: str
    pattern: re.Pattern[str]
    fix: str


_REMEDIES = (
    _Remedy(
        "disk_full",
        _DISK,
        "make room for the folder {folder}: `trivet env prune` removes environments that nothing uses",
    ),
    _Remedy(
        "hash_mismatch",
        re.compile(r"[Hh]ash mismatch|hashes? did(n't| not) match"),
        "a file differs from the locked one: fix the index, or run `trivet env prune` to lock again",
    ),
    _Remedy(
        "index_refused",
        re.compile(r"40[13] (Unauthorized|Forbidden)|status code:? 40[13]"),
        "give the index's user and password in pip's index-url, in ~/.netrc, or in UV_DEFAULT_INDEX",
    ),
    _Remedy(
        "index_untrusted",
        re.compile(r"invalid peer certificate|UnknownIssuer|certificate verify"),
        "name the index's certificate authority: pip's `cert` setting (PIP_CERT), or SSL_CERT_FILE",
    ),
    _Remedy(
        "index_unreachable",
        re.compile(r"Failed to fetch|error sending request|dns error|[Cc]onnect error|timed out|Connection refused"),
        "check the network, the index and the proxy (pip's index-url, proxy), or work without: --offline, or a wheels folder",
    ),
    _Remedy(
        "source_builds_refused",
        re.compile(r"[Bb]uilding (from source|source distributions)[^.]* disabled|no usable wheels"),
        "pin a release that has a wheel for Python {python}, or allow builds from source: TRIVET_SOURCE_BUILDS=true",
    ),
    _Remedy(
        "build_failed",
        re.compile(r"Failed to (download and )?build|build backend"),
        "pin a release that has a wheel for Python {python}, ask for another Python, or install what its build needs",
    ),
    _Remedy(
        "python_mismatch",
        _PYTHON,
        "ask for a Python that the package has files for (--python, or `python:` in trivet.yaml), or change its "
        "version; this was Python {python}, and there are {there}",
    ),
    _Remedy(
        "no_such_package",
        re.compile(r"was not found in the (package registry|provided)"),
        "check the package's name in requirements.txt, and the index that should have it (pip's index-url, find-links)",
    ),
    _Remedy(
        "no_such_version",
        re.compile(r"there (is|are) no versions? of"),
        "check the version in requirements.txt: the index does not have this release",
    ),
    _Remedy(
        "no_solution",
        re.compile(r"No solution found"),
        "loosen the requirements that conflict in requirements.txt; the worker that runs the model adds {worker}",
    ),
)
# Without a network the same text has another fix.
_OFFLINE = _Remedy(
    "not_in_cache",
    re.compile(r"network was disabled|not found in the cache|[Nn]etwork connectivity is disabled"),
    "run once without --offline so that the package named above is fetched, or give a folder that holds its wheel",
)
_OFFLINE_WHEELS = _Remedy(
    "not_in_wheels",
    re.compile(
        r"was not found in the provided|there (is|are) no versions? of|network was disabled|not found in the cache"
    ),
    "put a wheel of the package named above, for Python {python}, into {wheels}, or run once without --offline",
)


def explanation(stderr: str) -> str:
    """The error text of uv, without progress lines and prefixes, shortened."""
    text = re.sub(r"^\s*(error|cause): ", "", _CHATTER.sub("", stderr), flags=re.MULTILINE)
    text = "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
    if len(text) > _MAX_EXPLANATION:
        # The first lines name the package, the last ones the cause.
        third = _MAX_EXPLANATION // 3
        text = f"{text[:third]}\n[…]\n{text[-2 * third :]}"
    return text or "uv printed no reason"


def _with_summary(why: str) -> str:
    """An explanation whose first line says the cause, which uv writes somewhere in its text."""
    first, _, rest = why.partition("\n")
    if first.startswith("No solution found") and rest.startswith("Because "):
        sentence = " ".join(rest.split())
        causes = [each.removesuffix(".") for each in _BECAUSE.findall(sentence)]
        return _cut("; ".join(causes)) + (f"\n{rest}" if len(causes) > 1 or "\n" in rest else "")
    built, errors = _BUILD.match(why), _LAST_ERROR.findall(why)
    if built is not None and errors:
        return f"{built[1]} does not build: {_cut(errors[-1].strip())}\n{why}"
    return why


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SUMMARY else f"{text[:_MAX_SUMMARY]}…"


def is_about_python(stderr: str) -> bool:
    """Whether another Python might work: the resolver says so, or a source distribution does not build for this one."""
    if "No solution found" in stderr:
        return _PYTHON.search(stderr) is not None
    return "Failed to build" in stderr or "Failed to download and build" in stderr


def without_wheels(stderr: str) -> tuple[str, ...]:
    """The packages of which uv says that they have no wheel, and that it may not build."""
    return tuple(dict.fromkeys(match[1] or match[2] for match in _NO_WHEEL.finditer(stderr)))


def is_disk_full(text: str) -> bool:
    """Whether a program says that it ran out of space."""
    return _DISK.search(text) is not None


def uv_error(stderr: str, *, about: Circumstances, timed_out: bool = False) -> BadEnvironment:
    """The error for a failed call of uv; `stderr` is free of secrets."""
    why = _with_summary(explanation(stderr))
    if timed_out:
        fix = "check the network, and whether a source distribution takes too long to build"
        return BadEnvironment(WHAT, why=f"it took too long\n{why}", fix=fix, reason="timed_out")
    remedy = _remedy(stderr, about=about)
    if remedy is None:
        fix = "read the reason above; `uv pip install -r requirements.txt` reproduces it"
        return BadEnvironment(WHAT, why=why, fix=fix, reason="environment_failed")
    if remedy.reason == "disk_full":
        why = f"the disk that holds {about.folder} is full\n{why}"
    fix = remedy.fix.format_map(asdict(about))
    if remedy.reason == "build_failed" and about.sources:
        why = f"{' and '.join(about.sources)} has no wheel for any Python here ({about.there})\n{why}"
        fix = f"pin a later release of {' and '.join(about.sources)}, which has wheels, or install what its build needs"
    return BadEnvironment(WHAT, why=why, fix=fix, reason=remedy.reason)


def _remedy(stderr: str, *, about: Circumstances) -> _Remedy | None:
    """The first row whose pattern matches."""
    # uv may also be offline because of its own variable.
    offline = _OFFLINE_WHEELS if about.offline and about.wheels is not None else _OFFLINE
    rows = (*_REMEDIES[:1], offline, *_REMEDIES[1:])
    return next((row for row in rows if row.pattern.search(stderr)), None)


def disk_error(error: OSError, *, folder: Path) -> BadEnvironment:
    """The error for a folder that is not writable, or a process at its limit of open files."""
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return BadEnvironment(
            "The environment cannot be built now",
            why=(error.strerror or "too many open files").lower(),
            fix="try again when fewer files are open, or raise the limit on open files (`ulimit -n`, LimitNOFILE=)",
            reason="too_many_open_files",
        )
    full = _DISK_FULL.get(error.errno or 0)
    return BadEnvironment(
        f"The environments folder {folder} is not writable",
        why=full or (error.strerror or type(error).__name__).lower(),
        fix=f"{'make room there' if full else 'make this folder writable'}, or choose another one",
        path=str(error.filename or folder),
        reason="disk_full" if full else "disk_failed",
    )
