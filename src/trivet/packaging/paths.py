"""The rules for the names in a package, the same for archives and folders."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from trivet.errors import BadPackage, TooLarge
from trivet.packaging.limits import Limits

__all__ = ["Entry", "arrange", "parse_name", "shown"]

_DRIVE = re.compile(r"[A-Za-z]:")
# Characters that change the direction of text, so that a shown name differs from the real one.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_IGNORED_NAMES = frozenset({"__MACOSX", "__pycache__", ".DS_Store"})
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A file or folder of a package.

    Attributes:
        name: its name in the source, in a form for errors.
        parts: the names of its path, checked.
        chunks: reads a file's bytes, once for each call; None for a folder.
    """

    name: str
    parts: tuple[str, ...]
    chunks: Callable[[], Iterator[bytes]] | None

    @property
    def path(self) -> str:
        """The path as POSIX writes it."""
        return "/".join(self.parts)


def shown(name: str) -> str:
    """A name for an error: without invisible characters, and shortened."""
    visible = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in name[: _SHOWN_CHARACTERS + 1])
    text = "".join(visible)
    return text if len(name) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def parse_name(name: str, *, limits: Limits) -> tuple[str, ...]:
    """The names in a relative path; none for the package's own folder (`./`).

    Raises:
        BadPackage: it leads out of the package, or holds invalid characters.
        TooLarge: it is too long or too deep.
    """
    if fault := _fault_of_path(name):
        raise BadPackage(f"A name in the package {fault}", fix="rename it and pack again", path=shown(name))
    if name == "./":
        return ()
    # bsdtar writes "./model.py".
    parts = tuple(name.removeprefix("./").removesuffix("/").split("/"))
    for part in parts:
        if fault := _fault_of_part(part):
            raise BadPackage(f"A name in the package {fault}", fix="rename it and pack again", path=shown(name))
        if len(part.encode()) > limits.max_name_bytes:
            raise TooLarge(
                f"A name in the package is longer than {limits.max_name_bytes} bytes",
                fix="give it a shorter name",
                path=shown(name),
            )
    if len(parts) > limits.max_depth:
        raise TooLarge(
            f"A path in the package is {len(parts)} names deep",
            why=f"the limit is {limits.max_depth}",
            fix="pack it with fewer folders within folders",
            path=shown(name),
        )
    if len(name.encode()) > limits.max_path_bytes:
        raise TooLarge(
            f"A path in the package is longer than {limits.max_path_bytes} bytes",
            fix="give its folders shorter names",
            path=shown(name),
        )
    return parts


def _fault_of_path(name: str) -> str | None:
    if not name:
        return "is empty"
    if "\0" in name:
        return "holds a NUL character"
    if any(c in _TURNING or unicodedata.category(c) in _UNSEEN for c in name):
        return "holds control characters or bytes that are not text"
    if "\\" in name:
        return "holds a backslash; folders are separated with forward slashes"
    if name.startswith("/"):
        return "is an absolute path"
    if _DRIVE.match(name):
        return "begins with a drive letter"
    return None


def _fault_of_part(part: str) -> str | None:
    if not part:
        return "has an empty part"
    if part == "..":
        return "leads out of the package with '..'"
    if part == ".":
        return "has a part that is only '.'"
    return None


def arrange(entries: Iterable[Entry], *, limits: Limits) -> list[Entry]:
    """The files of a package, in order of path: without system files, and without a single top folder.

    Raises:
        BadPackage: two names clash, a file is used as a folder, or there is no file.
        TooLarge: too many files or folders.
    """
    kept = [entry for entry in entries if entry.parts and not _is_system_file(entry.parts)]
    _check_together(kept, limits=limits)
    files = [entry for entry in kept if entry.chunks is not None]
    if not files:
        raise BadPackage(
            "The package holds no files",
            why="folders and system files (__MACOSX, .DS_Store, __pycache__) do not count",
            fix="pack the folder that holds the model",
        )
    if len({entry.parts[0] for entry in kept}) == 1 and all(len(entry.parts) > 1 for entry in files):
        files = [replace(entry, parts=entry.parts[1:]) for entry in files]
    return sorted(files, key=lambda entry: entry.path)


def _is_system_file(parts: tuple[str, ...]) -> bool:
    return any(part in _IGNORED_NAMES or part.startswith("._") for part in parts) or parts[-1].lower().endswith(".pyc")


def _check_together(entries: list[Entry], *, limits: Limits) -> None:
    """Check that each path is unique on every file system, and is a file or a folder but not both."""
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    listed: set[tuple[str, ...]] = set()
    for entry in entries:
        if entry.parts in listed:
            raise BadPackage(
                "The package holds a name twice",
                why="only one of the two files can be kept",
                fix="pack it again from a folder",
                path=entry.name,
            )
        listed.add(entry.parts)
        keys = list(_keys(entry.parts))
        own = folders if entry.chunks is None else files
        for depth, key in enumerate(keys[:-1], start=1):
            _claim(folders, files, key=key, path="/".join(entry.parts[:depth]), entry=entry)
        _claim(own, files if own is folders else folders, key=keys[-1], path=entry.path, entry=entry)
        for found, what in ((files, "files"), (folders, "folders")):
            if len(found) > limits.max_files:
                raise TooLarge(
                    f"The package holds more than {limits.max_files:,} {what}",
                    fix="leave out what the model does not need to run",
                    path=entry.name,
                )


def _claim(own: dict[str, str], other: dict[str, str], *, key: str, path: str, entry: Entry) -> None:
    if key in other:
        raise BadPackage(
            "The package uses one name for a file and for a folder",
            why=f"{shown(other[key])!r} and {shown(path)!r} cannot both exist",
            fix="rename one of them",
            path=entry.name,
        )
    if own.setdefault(key, path) != path:
        raise BadPackage(
            "The package holds two names that are equal on many systems",
            why=f"{shown(own[key])!r} and {shown(path)!r} differ only in case or in the encoding of an accent",
            fix="rename one of them",
            path=entry.name,
        )


def _keys(parts: tuple[str, ...]) -> Iterator[str]:
    """The keys of a path's leading parts, without regard to case and the encoding of accents."""
    key = ""
    for part in parts:
        # Unicode's canonical caseless matching (3.13, D145).
        folded = part.lower() if part.isascii() else _caseless(part)
        key = f"{key}/{folded}"
        yield key


def _caseless(text: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
