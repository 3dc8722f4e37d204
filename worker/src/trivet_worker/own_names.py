"""Modules of a package that have the name of one in the standard library, such as `queue.py` or `types.py`.

Python gives a script the modules of its own folder first. A worker has imported much of the standard library before it opens a
package, and libraries need it later. So such a name means the package's module where a module of the package imports it, and the
standard library's everywhere else.

What every interpreter has imported or built in when a script starts (`os`, `io`, `sys`) stays Python's own, as it does for a script.
"""

# ruff: noqa: PTH113, PTH118, PTH120, PTH122, PTH208 - the import system uses strings

import builtins
import importlib
import importlib.util
import os
import sys
import threading
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

__all__ = ["OwnNames", "names_of_both"]

_AT_START = frozenset(
    [
        "__future__",
        "_collections_abc",
        "_sitebuiltins",
        "abc",
        "codecs",
        "encodings",
        "genericpath",
        "importlib",
        "io",
        "ntpath",
        "os",
        "posixpath",
        "runpy",
        "site",
        "stat",
        "zipimport",
    ]
)
_WITH_EFFECTS = frozenset(["antigravity", "this"])
"""Modules that do something when they are imported."""


def names_of_both(root: str) -> List[str]:
    """The modules of a folder whose name is also one of the standard library. These are imported from there.

    Args:
        root: the folder; not yet on `sys.path`.
    """
    found = []
    for entry in sorted(os.listdir(root)):
        name, suffix = os.path.splitext(entry)
        is_module = suffix == ".py" or os.path.isfile(os.path.join(root, entry, "__init__.py"))
        if not is_module or not name.isidentifier() or name in _AT_START or name in _WITH_EFFECTS:
            continue
        if _is_standard(name):
            try:
                importlib.import_module(name)
            except ImportError:
                continue
            found.append(name)
    return found


def _is_standard(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    origin = spec.origin if spec is not None else None
    if origin is None or origin in ("built-in", "frozen"):
        return False
    library = os.path.dirname(os.path.realpath(os.__file__))
    file = os.path.realpath(origin)
    return file.startswith(library + os.sep) and "site-packages" not in file and "dist-packages" not in file


class OwnNames:
    """Decides at each import of a shared name which module is meant: by the module that imports it.

    Args:
        root: the package's folder, without links in its path.
        names: from `names_of_both`.
    """

    def __init__(self, root: str, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._inside = root + os.sep
        self._is_own: Optional[bool] = False
        self._owner: Optional[int] = None
        self._others: Dict[str, ModuleType] = {}
        self._lock = threading.RLock()
        self._import = builtins.__import__

    def install(self) -> None:
        """From now on imports ask here."""
        setattr(builtins, "__import__", self.imported)  # noqa: B010 - its type is not a method's

    def imported(
        self,
        name: str,
        globals: Optional[Mapping[str, Any]] = None,  # noqa: A002 - the names of `__import__`
        locals: Optional[Mapping[str, Any]] = None,  # noqa: A002
        fromlist: Optional[Sequence[str]] = (),
        level: int = 0,
    ) -> Any:
        """See `builtins.__import__`."""
        scope = globals or {}
        top = (str(scope.get("__package__") or "") if level else name).partition(".")[0]
        if top not in self.names:
            if self._owner != threading.get_ident():
                return self._import(name, globals, locals, fromlist, level)
            # Within the import of a package's shared name. What it imports finds the standard library's, in C too.
            with self.view(own=False):
                return self._import(name, globals, locals, fromlist, level)
        file = scope.get("__file__")
        own = isinstance(file, str) and os.path.realpath(file).startswith(self._inside)
        loaded = None if level else self._loaded(name, fromlist, own=own)
        if loaded is not None:
            return loaded
        with self.view(own=own):
            return self._import(name, globals, locals, fromlist, level)

    @contextmanager
    def view(self, *, own: bool) -> Iterator[None]:
        """Let shared names mean the package's modules, or the standard library's."""
        with self._lock:
            before = bool(self._is_own)
            self._turn(own=own)
            try:
                yield
            finally:
                self._turn(own=before)

    def _loaded(self, name: str, fromlist: Optional[Sequence[str]], *, own: bool) -> Optional[ModuleType]:
        """What an import returns without loading anything. It takes no lock: a thread may wait for this one's imports."""
        state, others = self._is_own, self._others
        if state is None:
            return None
        modules = sys.modules if own == state else others
        module, top = modules.get(name), modules.get(name.partition(".")[0])
        if module is None or self._is_own is not state or self._others is not others:
            return None
        if getattr(getattr(module, "__spec__", None), "_initializing", False):
            return None
        if not fromlist:
            return top
        return module if all(hasattr(module, each) for each in fromlist) else None

    def _turn(self, *, own: bool) -> None:
        if own is self._is_own:
            return
        self._is_own = None
        there = {name: module for name, module in list(sys.modules.items()) if name.partition(".")[0] in self.names}
        for name in there:
            del sys.modules[name]
        sys.modules.update(self._others)
        self._others = there
        self._owner = threading.get_ident() if own else None
        self._is_own = own
