"""Imports a package's modules from its folder, as Python does for a script.

The package's folder is first on `sys.path`, like a script's own folder: modules import each other by plain name, and a package's
`helper.py` takes precedence over an installed `helper`. A package cannot replace what the worker itself needs (numpy, pyarrow,
`mac`, the worker's modules), because those are imported before.

No bytecode is written beside the sources: a package's folder is shared and never changes.
"""

# ruff: noqa: PTH118, PTH120 - the import system uses strings

import importlib
import importlib.machinery
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from trivet_worker.failures import PackageError
from trivet_worker.protocol import Entry

__all__ = ["find_entry", "open_package_folder"]


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Reads sources, and writes no bytecode."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Python would write a .pyc file here."""


def open_package_folder(root: str) -> None:
    """Make modules in `root` importable by plain name, before all others."""
    details = [
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (_SourceLoader, importlib.machinery.SOURCE_SUFFIXES),
    ]
    find_files = importlib.machinery.FileFinder.path_hook(*details)

    def hook(path: str) -> Any:
        if os.path.realpath(path) != root and not os.path.realpath(path).startswith(root + os.sep):
            raise ImportError(name=path)
        return find_files(path)

    sys.path_hooks.insert(0, hook)
    sys.path.insert(0, root)


def find_entry(root: str, entry: Entry) -> Any:
    """The class or function of an entry point; its module is imported if necessary.

    Args:
        root: the package's folder, without links in its path.
        entry: file and name.

    Raises:
        PackageError: the module does not define the name.
        BaseException: any exception of the module.
    """
    module = _import_file(root, entry.file)
    try:
        return getattr(module, entry.name)
    except AttributeError:
        raise PackageError(f"{entry.file} defines no {entry.name!r} once it has run") from None


def _import_file(root: str, file: str) -> ModuleType:
    path = os.path.join(root, *file.split("/"))
    folder = os.path.dirname(path)
    if folder != root and folder not in sys.path:
        sys.path.insert(sys.path.index(root) + 1, folder)  # neighbours of an entry file in a sub-folder
    parts = file[: -len(".py")].split("/")
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    name = ".".join(parts)
    loaded = sys.modules.get(name)
    if loaded is not None and _is_file(loaded, path):
        return loaded
    if loaded is None and all(part.isidentifier() for part in parts):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # something that the module itself needs
        else:
            if _is_file(module, path):
                return module
    # A name with a dash, or one in use (`queue.py`, `test/model.py`): load it from its file, under its own name if that is free.
    return _load(path, name if name not in sys.modules else f"_package_entry_.{name}")


def _load(path: str, name: str) -> ModuleType:
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded
    spec = importlib.util.spec_from_file_location(name, path, loader=_SourceLoader(name, path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _is_file(module: ModuleType, path: str) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and os.path.realpath(file) == os.path.realpath(path)
