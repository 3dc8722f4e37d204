"""How programs that build environments are kept from everything else.

uv itself is trusted, and code of packages is not: build back ends, `.pth` files, modules that are imported. So uv runs without the right
to start programs, or with `--no-build`; where code of packages has to run, it has the rights of a worker, and a copy of
uv's cache, because others install from the cache itself.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trivet_worker.sandbox import landlock_abi

__all__ = [
    "Confined",
    "Restrictions",
    "copy_cache",
    "interpreter_files",
    "login_files",
    "program_files",
    "take_back",
    "uv_cache",
    "uv_reads",
]

# Small files that say what is in the cache; builds are left out.
_ENOUGH = 2
_COPIED = ("simple-", "wheels-", "sdists-", "flat-index-", "interpreter-")
_LINKED = "archive-"
_WHEELS = "wheels-"
_FILES = (
    "UV_CONFIG_FILE",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_EXCLUDE",
    "UV_BUILD_CONSTRAINT",
    "NETRC",
    "SSL_CLIENT_CERT",
)
_FOLDERS = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "CPATH",
    "PKG_CONFIG_PATH",
    "CUDA_HOME",
    "PATH",
)
_LINKS = ("UV_FIND_LINKS", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")


@dataclass(frozen=True, kw_only=True, slots=True)
class Confined:
    """Whether, and to what, code of packages is kept while an environment is built.

    Attributes:
        mode: `on` where the kernel has Landlock, `required`, or `off`.
        hidden: a folder that such code never reads as a part of another one: the platform's.
        readable: files and folders that it may read besides its own.
    """

    mode: str = "on"
    hidden: Path | None = None
    readable: tuple[Path, ...] = ()

    @property
    def protects(self) -> bool:
        """Whether workers cannot change their environments."""
        return self.mode != "off" and landlock_abi() > 0

    @property
    def active(self) -> bool:
        """Whether it is confined on this machine: uv moves files between folders, which the first Landlock forbids."""
        return self.mode != "off" and landlock_abi() >= _ENOUGH


@dataclass(frozen=True, kw_only=True, slots=True)
class Restrictions:
    """What one program is kept to.

    Attributes:
        programs: the only ones that it may start; None for all.
        space: the folder that it may write, and nothing else; None for no restriction to files.
        read: what it may read besides that.
        hidden: see `Confined`.
    """

    programs: tuple[Path, ...] | None = None
    space: Path | None = None
    read: tuple[Path, ...] = ()
    hidden: Path | None = None

    def to_json(self) -> dict[str, object]:
        """For `trivet.envs.guard`."""
        return {
            "programs": None if self.programs is None else [*map(str, self.programs)],
            "space": None if self.space is None else str(self.space),
            "read": [*map(str, self.read)],
            "hidden": "" if self.hidden is None else str(self.hidden),
        }


def program_files(program: Path) -> tuple[Path, ...]:
    """What must be executable for one program to start: itself, and the system's loader of programs."""
    loaders = [
        loader for folder in ("/lib", "/lib64", "/usr/lib", "/usr/lib64") for loader in Path(folder).glob("ld-*")
    ]
    loaders += Path("/lib").glob("*-linux-*/ld-*")
    return (program.resolve(), *(loader.resolve() for loader in loaders))


def uv_cache(environ: Mapping[str, str]) -> Path:
    """The folder of uv's cache."""
    if environ.get("UV_CACHE_DIR"):
        return Path(environ["UV_CACHE_DIR"])
    if environ.get("XDG_CACHE_HOME"):
        return Path(environ["XDG_CACHE_HOME"]) / "uv"
    return Path(environ.get("HOME", "/")) / ".cache/uv"


def uv_reads(environ: Mapping[str, str], *, uv: Path, python: Path) -> tuple[Path, ...]:
    """The files that uv and builds need: what its variables name, the interpreter, and the cache."""
    found = [uv, uv_cache(environ), *interpreter_files(python)]
    found += [Path(word) for name in _FILES for word in environ.get(name, "").split()]
    found += [Path(each) for name in _FOLDERS for each in environ.get(name, "").split(os.pathsep)]
    found += _local_links(environ)
    rust = Path(environ.get("HOME", "/")) / ".rustup"
    found += map(Path, login_files(environ).values())
    return tuple(path for path in (*found, rust) if path.is_absolute() and path != Path("/"))


def login_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The file with the logins of indexes, for a program that gets another home."""
    file = Path(environ.get("NETRC") or Path(environ.get("HOME", "/")) / ".netrc")
    return {"NETRC": str(file)} if file.is_file() else {}


def interpreter_files(python: Path) -> tuple[Path, ...]:
    """The folder of an interpreter's own files."""
    return (python.resolve().parent.parent,)


def _local_links(environ: Mapping[str, str]) -> Iterable[Path]:
    for name in _LINKS:
        for word in environ.get(name, "").replace(",", " ").split():
            _, found, rest = word.partition("file:")
            if found:
                path = Path(unquote(urlsplit(f"file:{rest}").path))
                # The files of an index lie beside its pages.
                yield path.parent if path.name == "simple" else path


def copy_cache(cache: Path, target: Path, *, whole: bool) -> None:
    """Make a cache that starts with the content of another one, and that can be changed without changing it.

    Args:
        cache: the other one.
        target: the folder of the new one.
        whole: with links to the files of unpacked wheels. Without them uv fetches the wheels again that a build needs.
    """
    target.mkdir(exist_ok=True)
    for bucket in cache.glob("*-v*"):
        with suppress(OSError, shutil.Error):  # another uv may be changing it
            if bucket.name.startswith(_COPIED):
                ignore = None if whole or not bucket.name.startswith(_WHEELS) else _unpacked
                shutil.copytree(bucket, target / bucket.name, symlinks=True, dirs_exist_ok=True, ignore=ignore)
            elif whole and bucket.name.startswith(_LINKED):
                shutil.copytree(bucket.absolute(), target / bucket.name, symlinks=True, copy_function=os.symlink)


def _unpacked(folder: str, names: list[str]) -> list[str]:
    """What a cache says of unpacked wheels: uv believes that they are there, and fails where they are not."""
    links = (name for name in names if Path(folder, name).is_symlink())
    return [*links, *(name for name in names if name.endswith((".http", ".rev")))]


def take_back(folder: Path) -> None:
    """Own what a user of a program's own has written, without the rights to run it as that user."""
    me, group = os.geteuid(), os.getegid()
    if me != 0:
        return
    for parent, folders, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in ("", *folders, *names)):  # noqa: PTH118 - ten thousands of Paths take seconds
            about = os.lstat(path)
            if about.st_uid != me:
                os.chown(path, me, group, follow_symlinks=False)
