"""What pyarrow does at its first conversion, done while a process starts: in the middle of a request, it would stall the event loop."""

import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pyarrow as pa

__all__ = ["keep_pandas_out", "load_conversions"]


def keep_pandas_out() -> None:
    """Have pyarrow decide now that it works without pandas.

    pyarrow imports pandas at its first conversion, if it is installed, to know pandas' objects: half a second, and tens of MiB. No process
    that serves has such objects. A process that needs pandas can still import it.
    """
    missing = _Missing()
    sys.meta_path.insert(0, missing)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(missing)


def load_conversions() -> None:
    """Load what conversions of rows need, in a thread, and keep pandas out. Call it before any conversion."""
    keep_pandas_out()
    # Not a daemon: Arrow must not run any more when the interpreter is taken down.
    threading.Thread(target=_convert, name="conversions").start()


def _convert() -> None:
    """Convert and write a row: the first conversion of a numpy array registers all of Arrow's functions, and takes 10 MiB."""
    row = pa.record_batch({"x": pa.array(np.zeros(1))})
    with pa.ipc.new_stream(pa.BufferOutputStream(), row.schema) as stream:
        stream.write_batch(row)


class _Missing:
    """A finder for which pandas is not installed. None in `sys.modules` would not do: pyarrow takes it for the module."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is kept out of the conversions of a process that serves", name=name)
        return None
