"""Names that model code may import without an installed distribution.

Steps written for the reference platform often `import wallaroo` without using it, and its SDK is large. If the environment
does not have it, the import works all the same. Using an attribute of it is an error that names what is missing.
"""

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Optional, Sequence

__all__ = ["allow_absent_names", "hint_for"]

_NAMES = frozenset(["wallaroo"])
_HINT = (
    "The distribution {0!r} is not installed in this environment: its name can be imported, and nothing else of it is there. "
    "Add {0!r} to requirements.txt, or leave the use out"
)


class _AbsentModule(ModuleType):
    def __getattr__(self, name: str) -> object:
        text = f"{self.__name__}.{name} is not there"
        if not name.startswith("__"):
            text += ". " + _HINT.format(self.__name__)
        raise AttributeError(text)


class _AbsentFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The last finder of all: reached only by names that no installed distribution answers to."""

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]],  # noqa: ARG002
        target: Optional[ModuleType] = None,  # noqa: ARG002
    ) -> Optional[importlib.machinery.ModuleSpec]:
        # The name itself and no module below it: importing one of those is a use.
        return importlib.machinery.ModuleSpec(fullname, self) if fullname in _NAMES else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _AbsentModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def allow_absent_names() -> None:
    """Make the names importable where nothing else provides them."""
    sys.meta_path.append(_AbsentFinder())


def hint_for(error: BaseException) -> Optional[str]:
    """What to add to `cannot import name …` and `No module named …`, which Python words by itself."""
    name = getattr(error, "name", None) if isinstance(error, ImportError) else None
    top = name.partition(".")[0] if name else ""
    return _HINT.format(top) if isinstance(sys.modules.get(top), _AbsentModule) else None
