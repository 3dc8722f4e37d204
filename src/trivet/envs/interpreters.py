"""Finds the Python interpreters of this machine: the one that runs us, those on PATH, pyenv's, uv's own.

Each is run to learn its version, because a file called `python3.8` may be a pyenv shim that only prints an error.
"""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trivet.errors import BadEnvironment

__all__ = ["OLDEST", "OWN_MINOR", "Interpreter", "choose", "find_interpreters", "newest_first", "parse_wanted"]

OLDEST = (3, 8)
OWN_MINOR = (sys.version_info.major, sys.version_info.minor)

_NAME = re.compile(r"python(3(\.\d+)?)?")
_WANTED = re.compile(r"(3)\.(\d{1,3})(?:\.(\d{1,3}))?")
_PROBE_LIMIT_S = 20.0
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE}
_PROBE = """
import json, sys
print(json.dumps([
    list(sys.version_info[:3]), sys.implementation.name, getattr(sys, "_base_executable", None) or sys.executable,
    sys.version_info[3] == "final" and "t" not in getattr(sys, "abiflags", ""),
]))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpreter:
    """A CPython that runs. `version`: `(3, 8, 18)`."""

    path: Path
    version: tuple[int, int, int]

    @property
    def minor(self) -> tuple[int, int]:
        """`(3, 8)`."""
        return self.version[:2]

    @property
    def version_text(self) -> str:
        """`3.8.18`."""
        return ".".join(map(str, self.version))


def parse_wanted(text: str) -> tuple[int, ...]:
    """`3.8` or `3.8.18` as numbers.

    Raises:
        BadEnvironment: it is neither, or older than workers support.
    """
    match = _WANTED.fullmatch(text.strip())
    if match is None:
        raise BadEnvironment(
            f"'{text}' is not a Python version",
            fix="write it as 3.11 or 3.11.7",
            reason="bad_python_version",
        )
    wanted = tuple(int(part) for part in match.groups() if part is not None)
    if wanted[:2] < OLDEST:
        raise BadEnvironment(
            f"Python {text} cannot run a model here",
            why="workers need Python 3.8 or newer",
            fix="ask for 3.8 or newer",
            reason="bad_python_version",
        )
    return wanted


def find_interpreters(environ: Mapping[str, str], *, uv: Path) -> tuple[Interpreter, ...]:
    """All interpreters from Python 3.8 on, our own first, each once.

    Args:
        environ: PATH, HOME, PYENV_ROOT and uv's variables.
        uv: the uv program, which has a store of interpreters.

    Raises:
        OSError: this process is at its limit of open files.
    """
    found: dict[tuple[Path, tuple[int, int, int]], Interpreter] = {}
    seen: set[Path] = set()
    for path in _candidates(environ, uv=uv):
        try:
            real = path.resolve(strict=True)
            # A virtual environment's python links to another, which is found in its own place: any name of a file will do.
            if real in seen or not os.access(real, os.X_OK):
                continue
            interpreter = _probe(path, environ)
            if interpreter is None:
                continue
            seen.add(real)
            found.setdefault((interpreter.path.resolve(), interpreter.version), interpreter)
        except OSError as error:
            _raise_if_out_of_files(error)
    return tuple(found.values())


def _candidates(environ: Mapping[str, str], *, uv: Path) -> Iterator[Path]:
    yield Path(sys.executable)
    roots = [Path(environ["PYENV_ROOT"])] if environ.get("PYENV_ROOT") else []
    if environ.get("HOME"):
        roots.append(Path(environ["HOME"]) / ".pyenv")
    for entry in environ.get("PATH", "").split(os.pathsep):
        folder = Path(entry)
        if not folder.is_absolute():
            continue
        # pyenv's shims only run the active version; the real interpreters lie beside them.
        if folder.name == "shims" and (folder.parent / "versions").is_dir():
            roots.append(folder.parent)
            continue
        yield from _pythons_in(folder)
    for root in dict.fromkeys(roots):
        for version in _entries(root / "versions"):
            yield version / "bin/python"
    yield from _uv_store(environ, uv=uv)


def _pythons_in(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if _NAME.fullmatch(path.name)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _uv_store(environ: Mapping[str, str], *, uv: Path) -> list[Path]:
    """The interpreters that uv installed."""
    variables = {name: value for name, value in environ.items() if name.startswith(("UV_PYTHON_INSTALL", "XDG_"))}
    if environ.get("HOME"):
        variables["HOME"] = environ["HOME"]
    # Without PATH: uv would run every file on it that is called python.
    variables |= {"PATH": os.devnull, "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never"}
    command = [str(uv), "python", "list", "--only-installed", "--managed-python", "--output-format", "json"]
    try:
        answer = subprocess.run(
            command, capture_output=True, check=True, env=variables, cwd="/", timeout=_PROBE_LIMIT_S
        ).stdout
        return [Path(entry["path"]) for entry in json.loads(answer)]
    except OSError as error:
        _raise_if_out_of_files(error)
        return []
    except (subprocess.SubprocessError, ValueError, KeyError, TypeError):
        # uv's store is one place of several; whether uv itself works shows in the next step.
        return []


def _probe(path: Path, environ: Mapping[str, str]) -> Interpreter | None:
    """Runs an interpreter to learn its version; None if it does not run, or is of a kind that we cannot use."""
    kept = {name: environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in environ}
    try:
        answer = subprocess.run(
            [str(path), "-I", "-S", "-c", _PROBE],
            capture_output=True,
            check=True,
            stdin=subprocess.DEVNULL,
            env=kept,
            cwd="/",
            timeout=_PROBE_LIMIT_S,
        ).stdout
        (major, minor, patch), implementation, executable, usual = json.loads(answer)
    except OSError as error:
        _raise_if_out_of_files(error)
        return None
    except (subprocess.SubprocessError, ValueError, TypeError):
        return None
    if implementation != "cpython" or not usual or (major, minor) < OLDEST:
        return None
    return Interpreter(path=Path(executable), version=(major, minor, patch))


def _raise_if_out_of_files(error: OSError) -> None:
    """Raises if no process can be started at all: that is another fault than a missing Python."""
    if error.errno in _OUT_OF_FILES:
        raise error


def choose(interpreters: Sequence[Interpreter], wanted: tuple[int, ...]) -> Interpreter:
    """The newest patch release of the requested version.

    Raises:
        BadEnvironment: it was not found; names the versions that were, and how to install it.
    """
    matching = [found for found in interpreters if found.version[: len(wanted)] == wanted]
    if matching:
        # `max` keeps the first of equals: our own, then PATH's.
        return max(matching, key=lambda found: found.version)
    version = ".".join(map(str, wanted))
    raise BadEnvironment(
        f"Python {version} was not found",
        why=f"it is not on PATH, nor among pyenv's or uv's versions; found: {describe(interpreters)}",
        fix=f"install it with `uv python install {version}` or `pyenv install {version}`, or ask for one that was found",
        reason="python_not_found",
    )


def describe(interpreters: Iterable[Interpreter]) -> str:
    """`3.8.18, 3.11.7`, oldest first."""
    versions = sorted({found.version for found in interpreters})
    return ", ".join(".".join(map(str, version)) for version in versions) or "none at all"


def newest_first(interpreters: Sequence[Interpreter], *, besides: tuple[int, int]) -> tuple[Interpreter, ...]:
    """One interpreter for each minor release other than `besides`."""
    others = sorted({found.minor for found in interpreters if found.minor != besides}, reverse=True)
    return tuple(choose(interpreters, other) for other in others)
