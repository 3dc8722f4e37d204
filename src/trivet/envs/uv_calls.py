"""Calls uv, in an empty folder, as a process that ends with us."""

import re
import shutil
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import uv

from trivet.disk.locks import TemporaryFolder
from trivet.envs.confined import (
    Confined,
    Restrictions,
    copy_cache,
    interpreter_files,
    login_files,
    program_files,
    take_back,
    uv_cache,
    uv_reads,
)
from trivet.envs.failures import without_wheels
from trivet.envs.interpreters import Interpreter
from trivet.envs.processes import Finished, run
from trivet.envs.uv_settings import UvSettings
from trivet.errors import Internal

__all__ = ["Uv", "UvFailedError", "packages_in", "uv_program"]

# A resolve asks an index for some hundred pages; an install may fetch gigabytes and build from source.
_RESOLVE_LIMIT_S = 1800.0
_INSTALL_LIMIT_S = 7200.0
_IMPORT_LIMIT_S = 300.0

# What uv says of a build when it may not start programs, and of an install when it may not build.
_REFUSED = re.compile(r"os error 13|Permission denied|Failed to (download and )?build|build backend")


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
    confined: Confined
    known_pythons: set[Path] = field(default_factory=set)
    """Interpreters that uv has asked about themselves."""

    @property
    def draft(self) -> Path:
        """The folder for the environment while it is built."""
        return self._space / "environment"

    def compile(
        self,
        requirements: Sequence[str],
        *,
        constraints: Sequence[str],
        python: Interpreter,
        as_of: date | None,
        only_wheels: Sequence[str] = (),
        dependencies: bool = True,
    ) -> str:
        """Resolves requirements to a lock with hashes.

        Args:
            requirements: PEP 508 lines.
            constraints: PEP 508 lines that limit versions without requesting packages.
            python: the interpreter to resolve for.
            as_of: the last day (UTC) whose releases count.
            only_wheels: names of packages that must not be built from source.
            dependencies: whether the packages' own requirements are resolved too.

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
        for name in only_wheels:
            arguments += ["--only-binary", name]
        if not dependencies:
            arguments.append("--no-deps")
        if not self.confined.active or not self.settings.source_builds:
            return self._uv(arguments, limit_s=_RESOLVE_LIMIT_S).stdout
        if python.path not in self.known_pythons:
            # uv asks an interpreter about itself once, and must start it for that.
            nothing = self._input("nothing.in", [])
            self._uv(["pip", "compile", "--quiet", "--python", str(python.path), str(nothing)], limit_s=_IMPORT_LIMIT_S)
            self.known_pythons.add(python.path)
        try:
            only_uv = Restrictions(programs=program_files(self.program))
            return self._uv(arguments, limit_s=_RESOLVE_LIMIT_S, restrictions=only_uv).stdout
        except UvFailedError as error:
            if error.timed_out or not _REFUSED.search(error.stderr):
                raise
        # The metadata of a package has to be built.
        return self._uv_with_builds(arguments, python=python.path, limit_s=_RESOLVE_LIMIT_S).stdout

    def make_environment(self, *, python: Interpreter) -> None:
        """Makes an empty environment, the draft, that may be moved afterwards.

        Raises:
            UvFailedError: the interpreter does not run, or the disk is full.
        """
        self._space.mkdir(exist_ok=True)
        arguments = ["venv", "--relocatable", "--no-project", "--python", str(python.path), str(self.draft)]
        self._uv(arguments, limit_s=_IMPORT_LIMIT_S, resolving=False)

    def install(self, lock: str, *, python: Interpreter, on_tick: Callable[[Sequence[str]], None]) -> None:
        """Installs exactly a lock's packages into the draft.

        Raises:
            UvFailedError: a file is missing or differs from the locked one, or the disk is full.
        """
        packages = packages_in(lock)
        sources: dict[str, str] = {}
        confined = self.confined.active and self.settings.source_builds
        while confined and packages:
            try:
                self._install(packages.values(), "--no-build", on_tick=on_tick)
                break
            except UvFailedError as error:
                names = [name for name in without_wheels(error.stderr) if name in packages]
                if error.timed_out or not names:
                    raise
                sources |= {name: packages.pop(name) for name in names}
        if sources or not confined:
            rest = sources if confined else packages
            self._install(rest.values(), on_tick=on_tick, python=python.path if confined else None)
        self._compile_modules()

    def try_imports(self, modules: Sequence[str], *, python: Interpreter) -> None:
        """Imports modules in the draft.

        Raises:
            UvFailedError: one does not import.
        """
        # Loaded libraries and locales may matter; uv's own variables do not.
        environ = {name: value for name, value in self.settings.environ.items() if not name.startswith("UV_")}
        restrictions = None
        if self.confined.active:
            trying = self.temporary.path / "trying"
            trying.mkdir()
            read = (self.draft, *interpreter_files(python.path), *self.confined.readable)
            restrictions = Restrictions(space=trying, read=read, hidden=self.confined.hidden)
            environ |= {"HOME": str(trying), "TMPDIR": str(trying)}
        code = "; ".join(f"import {module}" for module in modules)
        command = [str(self.draft / "bin/python"), "-I", "-c", code]
        self._run(command, environ=environ, limit_s=_IMPORT_LIMIT_S, restrictions=restrictions)

    def _install(
        self,
        packages: Iterable[str],
        *options: str,
        on_tick: Callable[[Sequence[str]], None],
        python: Path | None = None,
    ) -> None:
        file = self._input("requirements.lock", packages)
        arguments = ["pip", "install", "--require-hashes", "--no-deps", *options]
        arguments += ["--python", str(self.draft / "bin/python"), "--requirements", str(file)]
        if python is None:
            self._uv(arguments, limit_s=_INSTALL_LIMIT_S, on_tick=on_tick)
        else:
            self._uv_with_builds(arguments, python=python, limit_s=_INSTALL_LIMIT_S, on_tick=on_tick)

    def _compile_modules(self) -> None:
        """Compiles all modules to bytecode, without running any: not even those that run at an interpreter's start (`-S`)."""
        packages = [*map(str, self.draft.glob("lib/python*/site-packages"))]
        command = [str(self.draft / "bin/python"), "-I", "-S", "-m", "compileall", "-q", "-q", "-j", "0", *packages]
        # Packages hold files that this version of Python cannot compile.
        with suppress(UvFailedError):
            self._run(command, environ=self.settings.environ, limit_s=_INSTALL_LIMIT_S)

    def _uv_with_builds(
        self,
        arguments: list[str],
        *,
        python: Path,
        limit_s: float,
        on_tick: Callable[[Sequence[str]], None] | None = None,
    ) -> Finished:
        """A call that may run the code of packages: it writes the draft, and a cache of its own."""
        home, cache = self._space / "home", self._space / "cache"
        home.mkdir(parents=True, exist_ok=True)
        environ = self.settings.environ
        copy_cache(uv_cache(environ), cache, whole="--offline" in self.settings.arguments)
        read = (self.temporary.path, *uv_reads(environ, uv=self.program, python=python), *self.confined.readable)
        own = {"HOME": str(home), "UV_CACHE_DIR": str(cache), "TMPDIR": str(home), **login_files(environ)}
        kept = {name: value for name, value in environ.items() if not name.startswith("XDG_")}
        try:
            return self._uv(
                arguments,
                limit_s=limit_s,
                on_tick=on_tick,
                environ={**kept, **own},
                restrictions=Restrictions(space=self._space, read=read, hidden=self.confined.hidden),
            )
        finally:
            take_back(self._space)
            shutil.rmtree(cache, ignore_errors=True)
            shutil.rmtree(home, ignore_errors=True)

    @property
    def _space(self) -> Path:
        return self.temporary.path / "space"

    def _uv(
        self,
        arguments: list[str],
        *,
        limit_s: float,
        resolving: bool = True,
        on_tick: Callable[[Sequence[str]], None] | None = None,
        environ: Mapping[str, str] | None = None,
        restrictions: Restrictions | None = None,
    ) -> Finished:
        own = self.settings.arguments if resolving else ()
        command = [str(self.program), *arguments, *own]
        return self._run(
            command,
            environ=environ or self.settings.environ,
            limit_s=limit_s,
            on_tick=on_tick,
            restrictions=restrictions,
        )

    def _run(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        limit_s: float,
        on_tick: Callable[[Sequence[str]], None] | None = None,
        restrictions: Restrictions | None = None,
    ) -> Finished:
        empty = self.temporary.path / "empty"
        empty.mkdir(exist_ok=True)
        if restrictions is None or restrictions.space is None:
            # The files of a killed uv go with the temporary folder.
            temporary = self.temporary.path / "tmp"
            temporary.mkdir(exist_ok=True)
            environ = {**environ, "TMPDIR": str(temporary)}
        finished = run(
            command,
            environ=environ,
            folder=empty,
            limit_s=limit_s,
            keep=(self.temporary.lock,),
            on_tick=on_tick,
            restrictions=restrictions,
        )
        if finished.code or finished.timed_out:
            text = self.settings.redact(finished.stderr)
            raise UvFailedError(text + _signal(finished.code), timed_out=finished.timed_out)
        return finished

    def _input(self, name: str, lines: Iterable[str]) -> Path:
        file = self.temporary.path / name
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return file


def packages_in(lock: str) -> dict[str, str]:
    """The parts of a lock by the packages' names."""
    parts = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)
    return {re.split(r"[=<>!~ @\[;]", part, maxsplit=1)[0]: part.rstrip("\n") for part in parts if part.strip()}


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
