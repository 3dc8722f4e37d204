"""Python steps: a module-level function over arrays by field name, or over a pandas DataFrame."""

from typing import Any, Callable

from trivet_worker.adapters import Columns, PackageFiles
from trivet_worker.failures import PackageError
from trivet_worker.frames import frame_maker
from trivet_worker.modules import find_entry

__all__ = ["PythonStepAdapter", "load"]


class PythonStepAdapter:
    """Predicts by calling the step's function."""

    def __init__(self, function: Callable[[Columns], Any]) -> None:
        self._function = function
        self._frame_of = frame_maker(function)

    def predict(self, columns: Columns) -> Any:
        """See `Adapter.predict`."""
        return self._function(columns if self._frame_of is None else self._frame_of(columns))


def load(package: PackageFiles, stage: Callable[[str], None]) -> PythonStepAdapter:
    """Import the step's module."""
    entry = package.entry["function"]
    function = find_entry(package.root, entry)
    stage("loading")
    if not callable(function):
        raise PackageError(f"{entry.name} in {entry.file} is not a function but a {type(function).__name__}")
    return PythonStepAdapter(function)
