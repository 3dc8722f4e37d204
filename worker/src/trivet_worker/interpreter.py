"""The worker's interpreter: its folders, and the packages of its environment."""

# ruff: noqa: PTH100, PTH113, PTH118, PTH120 - pathlib would be one more import in the guardians

import os
import sys
from typing import Any, List, Tuple

__all__ = ["open_environment", "own_folders"]


class _Flags(Tuple[Any, ...]):
    """`sys.flags` of an interpreter that starts with `site`, which processes that `multiprocessing` spawns get, too."""

    __slots__ = ()
    no_site = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(_FLAGS, name)


_FLAGS = sys.flags


def own_folders() -> "List[str]":
    """Folders that are read by the interpreter, the environment and the worker's own code."""
    found = [os.path.dirname(os.path.dirname(os.path.abspath(__file__))), sys.base_prefix, sys.base_exec_prefix]
    environment = os.path.dirname(os.path.dirname(sys.executable))
    if os.path.isfile(os.path.join(environment, "pyvenv.cfg")):
        found.append(environment)
    return found


def open_environment() -> None:
    """Put the environment's packages on the path, and run what runs at an interpreter's start."""
    if not sys.flags.no_site:
        return
    import site

    site.main()
    setattr(sys, "flags", _Flags(sys.flags))  # noqa: B010 - its type is not a class that can be made
