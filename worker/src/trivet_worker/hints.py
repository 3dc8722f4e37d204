"""How to fix what goes wrong most often when a model is loaded: paths of the author's machine, and pickles of scripts."""

import errno
import os
import re
from itertools import islice
from pathlib import Path
from typing import Optional

__all__ = ["fix_for"]

_SCRIPT_CLASS = re.compile(
    r"Can't get attribute '(?P<new>[\w.]+)' on <module '[\w.]*__main__'|module '__main__' has no attribute '(?P<old>[\w.]+)'"
)
_MAX_FILES = 10_000
_MAX_NAME = 500


def fix_for(error: BaseException, root: str) -> Optional[str]:
    """What the package's author can do about an exception; None if nothing more is known than the exception says.

    Args:
        error: what the model's code raised.
        root: the folder with the package's files.
    """
    try:
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.EACCES):
            return _fix_path(error.filename, root, is_missing=error.errno == errno.ENOENT)
        if isinstance(error, AttributeError):
            return _fix_script_class(str.__getitem__(str(error), slice(1_000)))
    except Exception:
        return None  # the exception is the model's, and may itself raise when it is read
    return None


def _fix_path(name: object, root: str, *, is_missing: bool) -> Optional[str]:
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    if not isinstance(name, str) or not 0 < len(name) < _MAX_NAME:
        return None
    path, folder = Path(name), Path(root)
    found = _in_package(path, folder)
    if found is not None:
        shown = " / ".join(map(repr, found.parts))
        return (
            f"the package has {found}: open it as config.model_path / {shown} in `create`, or as Path(__file__).parent / "
            f"{shown} in a module beside it; the working folder is an empty one"
        )
    if is_missing and path.is_absolute() and folder not in Path(os.path.realpath(name)).parents:
        return (
            f"put {path.name} into the package, and open it as config.model_path / {path.name!r} in `create`, or as "
            f"Path(__file__).parent / {path.name!r}: a model opens the files of its package"
        )
    return None


def _in_package(path: Path, root: Path) -> Optional[Path]:
    """The path in the package of a file that was looked for elsewhere: the longest end of its path that is there, else the
    only file of its name.
    """
    parts = [part for part in path.parts if part not in (path.anchor, ".", "..")]
    for start in range(len(parts)):
        found = Path(*parts[start:])
        if (root / found).is_file():
            # A file that was opened in its place has another problem.
            return None if os.path.realpath(path) == os.path.realpath(root / found) else found
    files = list(islice((each for each in root.rglob("*") if each.is_file()), _MAX_FILES))
    alike = [each.relative_to(root) for each in files if parts and each.name == parts[-1]]
    return alike[0] if len(alike) == 1 else None


def _fix_script_class(message: str) -> Optional[str]:
    found = _SCRIPT_CLASS.search(message)
    if not found:
        return None
    name = found["new"] or found["old"]
    return (
        f"the file was pickled by a script that defines {name} itself: move it into a module of the package, such as "
        f"my_model.py, import it from there in the script, and write the file again"
    )
