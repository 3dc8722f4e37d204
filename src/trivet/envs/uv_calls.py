"""Calls uv, in an empty folder, as a process that ends with us."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import uv

from trivet.disk.locks import TemporaryFolder
from trivet.envs.interpreters import Interpreter
from trivet.envs.processes import Finished, run
from trivet.envs.uv_settings import UvSettings
from trivet.errors import Internal

__all__ = ["Uv", "UvFailedError", "uv_program"]

# A resolve asks an index for some hundred pages; an install may fetch gigabytes and build from source.
_RESOLVE_LIMIT_S = 1800.0
_INSTALL_LIMIT_S = 7200.0
_IMPORT_LIMIT_S = 300.0


class UvFailedError(Exception):
    """uv, or a program in an environment, failed. `stderr` is free of secrets."""

    def __init__(self, stderr: str, *, timed_out: bool) -> None:
        super().__init__(stderr)
        self.stderr = stderr
        self.timed_out = timed_out


@dataclass(frozen=True, kw_only=True, slots=True)
class Uv:
    """Calls of uv for one environment."""

    program: Path
    settings: UvSettings
    temporary: TemporaryFolder

    def compile(
        self, requirements: Sequence[str], *, constraints: Sequence[str], python: Interpreter, as_of: date | None
    ) -> str:
        """Resolves requirements to a lock with hashes.

        Args:
            requirements: PEP 508 lines.
            constraints: PEP 508 lines that limit versions without requesting packages.
            python: the interpreter to resolve for.
            as_of: the last day (UTC) whose releases count.

        Raises:
            UvFailedError: there is no solution, or the index is not readable.
        """
        wanted = self._input("requirements.in", requirements)
        limits = self._input("constraints.txt", constraints)
        arguments = ["pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", "--quiet"]
        arguments += ["--python", str(python.path), "--constraints", str(limits), str(wanted)]
        if as_of is not None:
            # uv would read a date alone in this machine's time zone.
            midnight = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC) + timedelta(days=1)
            arguments += ["--exclude-newer", midnight.isoformat()]
        return self._uv(arguments, limit_s=_RESOLVE_LIMIT_S).stdout

    def make_environment(self, folder: Path, *, python: Interpreter) -> None:
        """Makes an empty environment that may be moved afterwards.

        Raises:
            UvFailedError: the interpreter does not run, or the disk is full.
        """
        arguments = ["venv", "--relocatable", "--no-project", "--python", str(python.path), str(folder)]
        self._uv(arguments, limit_s=_IMPORT_LIMIT_S, resolving=False)

    def install(self, lock: str, *, folder: Path, on_tick: Callable[[Sequence[str]], None]) -> None:
        """Installs exactly a lock's packages into an environment.

        Raises:
            UvFailedError: a file is missing or differs from the locked one, or the disk is full.
        """
        file = self._input("requirements.lock", [lock])
        arguments = ["pip", "install", "--require-hashes", "--no-deps", "--compile-bytecode"]
        arguments += ["--python", str(folder / "bin/python"), "--requirements", str(file)]
        self._uv(arguments, limit_s=_INSTALL_LIMIT_S, on_tick=on_tick)

    def try_imports(self, python: Path, modules: Sequence[str]) -> None:
        """Imports modules in an environment.

        Raises:
            UvFailedError: one does not import.
        """
        # Loaded libraries and locales may matter; uv's own variables do not.
        environ = {name: value for name, value in self.settings.environ.items() if not name.startswith("UV_")}
        code = "; ".join(f"import {module}" for module in modules)
        self._run([str(python), "-I", "-c", code], environ=environ, limit_s=_IMPORT_LIMIT_S)

    def _uv(
        self,
        arguments: list[str],
        *,
        limit_s: float,
        resolving: bool = True,
        on_tick: Callable[[Sequence[str]], None] | None = None,
    ) -> Finished:
        own = self.settings.arguments if resolving else ()
        command = [str(self.program), *arguments, *own]
        return self._run(command, environ=self.settings.environ, limit_s=limit_s, on_tick=on_tick)

    def _run(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        limit_s: float,
        on_tick: Callable[[Sequence[str]], None] | None = None,
    ) -> Finished:
        empty = self.temporary.path / "empty"
        empty.mkdir(exist_ok=True)
        # The files of a killed uv go with the temporary folder.
        temporary = self.temporary.path / "tmp"
        temporary.mkdir(exist_ok=True)
        environ = {**environ, "TMPDIR": str(temporary)}
        keep = (self.temporary.lock,)
        finished = run(command, environ=environ, folder=empty, limit_s=limit_s, keep=keep, on_tick=on_tick)
        if finished.code or finished.timed_out:
            text = self.settings.redact(finished.stderr)
            raise UvFailedError(text + _signal(finished.code), timed_out=finished.timed_out)
        return finished

    def _input(self, name: str, lines: Sequence[str]) -> Path:
        file = self.temporary.path / name
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return file


def _signal(code: int) -> str:
    """The signal that ended a program, if one did: codes above 128, by the shell's convention."""
    if code <= 128:
        return ""
    try:
        return f"\nit was killed by {signal.Signals(code - 128).name}"
    except ValueError:
        return ""


def uv_program() -> Path:
    """The uv program that was installed with Trivet.

    Raises:
        Internal: it is not there.
    """
    try:
        return Path(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise Internal(
            "The program uv is missing", why="it comes with the package `uv`", fix="install Trivet again"
        ) from error
