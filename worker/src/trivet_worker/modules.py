"""Imports a package's modules from its folder, as Python does for a script.

The package's folder is first on `sys.path`, like a script's own folder: modules import each other by plain name, and a package's
`helper.py` takes precedence over an installed `helper`. A package cannot replace what the worker itself needs (numpy, pyarrow,
`mac`, the worker's modules), because those are imported before. A name of the standard library is the package's for the package
(`own_names`).

A package's folder may be a Python package itself, with an `__init__.py`: its modules import each other relatively or by the folder's
name. That name is not known where a zip was unpacked, because its top folder is left out; the imports of the modules tell it.

No bytecode is written beside the sources: a package's folder is shared and never changes.
"""

# ruff: noqa: PTH113, PTH118, PTH120, PTH123, PTH202 - the import system uses strings

import ast
import builtins
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import sys
import warnings
from types import ModuleType
from typing import Any, Iterator, Optional, Set, Tuple

from trivet_worker.failures import PackageError
from trivet_worker.own_names import OwnNames, names_of_both
from trivet_worker.protocol import Entry

__all__ = ["find_entry", "open_package_folder"]

_UNNAMED = "model_package"
_MOST_SOURCE_BYTES = 2**21


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Reads sources, and writes no bytecode."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Python would write a .pyc file here."""


class _FolderAsPackage(importlib.abc.MetaPathFinder):
    """Finds the package's folder as a Python package. It comes after all other finders."""

    def __init__(self, root: str, name: str) -> None:
        self._root = root
        self.name = name

    def find_spec(self, fullname: str, *_: object) -> Optional[importlib.machinery.ModuleSpec]:
        """See `importlib.abc.MetaPathFinder`."""
        if fullname != self.name:
            return None
        file = os.path.join(self._root, "__init__.py")
        loader = _SourceLoader(fullname, file)
        return importlib.util.spec_from_file_location(
            fullname, file, loader=loader, submodule_search_locations=[self._root]
        )


def open_package_folder(root: str) -> None:
    """Make modules in `root` importable by plain name, before all others; and as parts of a package, if they import each other so."""
    details = [
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (_SourceLoader, importlib.machinery.SOURCE_SUFFIXES),
    ]
    find_files = importlib.machinery.FileFinder.path_hook(*details)

    def hook(path: str) -> Any:
        if os.path.realpath(path) != root and not os.path.realpath(path).startswith(root + os.sep):
            raise ImportError(name=path)
        return find_files(path)

    shared = names_of_both(root)
    sys.path_hooks.insert(0, hook)
    sys.path.insert(0, root)
    if shared:
        OwnNames(root, shared).install()
    name = _own_name(root)
    if name is not None:
        sys.meta_path.append(_FolderAsPackage(root, name))


def find_entry(root: str, entry: Entry) -> Any:
    """The class or function of an entry point; its module is imported if necessary.

    Args:
        root: the package's folder, without links in its path.
        entry: file and name.

    Raises:
        PackageError: the module does not define the name.
        BaseException: any exception of the module.
    """
    hook = getattr(builtins.__import__, "__self__", None)
    if isinstance(hook, OwnNames) and re.split(r"[/.]", entry.file)[0] in hook.names:
        with hook.view(own=True):
            module = _import_file(root, entry.file)
    else:
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
    own = [each.name for each in sys.meta_path if isinstance(each, _FolderAsPackage)]
    parts = own + parts
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


def _own_name(root: str) -> Optional[str]:
    """The name by which modules of a folder import it; None if it is not a Python package that is imported as one."""
    if not os.path.isfile(os.path.join(root, "__init__.py")):
        return None
    names: Set[str] = set()
    is_relative = False
    for depth, module in _sources(root):
        for node in ast.walk(module):
            if isinstance(node, ast.ImportFrom) and node.level > depth:
                is_relative = True
            elif isinstance(node, ast.ImportFrom) and not node.level:
                first, _, rest = (node.module or "").partition(".")
                inside = [rest] if rest else [alias.name for alias in node.names]
                names.update(first for each in inside if _is_module(root, each.partition(".")[0]))
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    first, _, rest = alias.name.partition(".")
                    if rest and _is_module(root, rest.partition(".")[0]):
                        names.add(first)
    # A name that Python finds elsewhere is not this folder's.
    for name in sorted(names):
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            return name
    return _UNNAMED if is_relative else None


def _sources(root: str) -> "Iterator[Tuple[int, ast.Module]]":
    """Each source of a folder, with the number of folders above it. Those that Python cannot read are left out."""
    for folder, _, files in os.walk(root):
        depth = 0 if folder == root else os.path.relpath(folder, root).count(os.sep) + 1
        for file in files:
            path = os.path.join(folder, file)
            if not file.endswith(".py") or os.path.getsize(path) > _MOST_SOURCE_BYTES:
                continue
            try:
                with open(path, "rb") as source, warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    yield depth, ast.parse(source.read())
            except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
                continue


def _is_module(root: str, name: str) -> bool:
    path = os.path.join(root, name)
    return os.path.isfile(path + ".py") or os.path.isfile(os.path.join(path, "__init__.py"))


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
