"""What a loader would have on its stack, as far as it decides how the rest of a pickle is read."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from trivet.packaging.pickles.source import Unreadable

__all__ = [
    "OPAQUE",
    "WRAPPER",
    "Bytes",
    "Dtype",
    "Global",
    "Instance",
    "Pairs",
    "Wrapper",
    "dtype_of",
    "state_of_dtype",
]


class _Opaque:
    """A value whose content does not matter."""


OPAQUE: Final = _Opaque()


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes or a long text, by where they are in the uncompressed file."""

    at: int
    length: int


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function by its module and its whole dotted name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


WRAPPER: Final = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
"""The class of a value that joblib's loader replaces with an array, whose bytes follow outside of the pickle."""


class Pairs:
    """A dictionary: its keys may be values that cannot be hashed here."""

    def __init__(self) -> None:
        self.items: list[tuple[Any, Any]] = []

    def get(self, key: str) -> Any:
        """The last value of a key."""
        return next((value for name, value in reversed(self.items) if type(name) is str and name == key), None)

    def by_name(self) -> dict[str, Any]:
        """The items, if each key is text and is there once."""
        found = {name: value for name, value in self.items if type(name) is str}
        if len(found) != len(self.items):
            raise Unreadable("the description of an array has a key that is not text, or a key twice")
        return found


@dataclass(eq=False, slots=True)
class Instance:
    """The result of a call, and the state that it got."""

    of: Global
    args: Any = ()
    state: Any = None


@dataclass(eq=False, slots=True)
class Dtype:
    """A numpy dtype: the bytes of an element, and whether it holds Python objects."""

    kind: str
    itemsize: int
    has_object: bool
    complete: bool = False


_DTYPE = re.compile(r"[<>=|]?([biufcSUVmMO])(\d{1,9})")
_SIZED: Final = frozenset("SUV")
_HAS_OBJECT: Final = 0x01
_STATE_LENGTH: Final = 8


def dtype_of(args: Any) -> Dtype | None:
    """The dtype that `numpy.dtype(*args)` makes; None if it is not one that numpy writes."""
    if not isinstance(args, tuple) or not args or type(args[0]) is not str:
        return None
    match = _DTYPE.fullmatch(args[0])
    if match is None:
        return None
    kind, size = match[1], int(match[2])
    return Dtype(kind, size * 4 if kind == "U" else size, kind == "O")


def state_of_dtype(dtype: Dtype, state: Any) -> None:
    """Give a dtype its state: byte order, fields and size.

    Raises:
        Unreadable: the state says another size than the dtype, or hides that its elements are objects.
    """
    if dtype.complete:
        raise Unreadable("a dtype gets its state twice")
    dtype.complete = True
    if not isinstance(state, tuple) or len(state) < _STATE_LENGTH:
        raise Unreadable("the state of a dtype has another form than numpy writes")
    subarray, names, fields, size, flags = state[2], state[3], state[4], state[5], state[7]
    if type(size) is not int or type(flags) is not int:
        raise Unreadable("the size of a dtype is not a number")
    if size != dtype.itemsize and not (size == -1 and dtype.kind not in _SIZED):
        raise Unreadable(f"a dtype says that its elements have {dtype.itemsize} and {size} bytes")
    inner: list[Any] = []
    if fields is not None:
        if dtype.kind != "V" or not isinstance(fields, Pairs) or not isinstance(names, tuple):
            raise Unreadable("the fields of a dtype have another form than numpy writes")
        inner = [each[0] if isinstance(each, tuple) and each else None for each in fields.by_name().values()]
    if subarray is not None:
        inner.append(subarray[0] if isinstance(subarray, tuple) and subarray else None)
    if not all(isinstance(each, Dtype) for each in inner):
        raise Unreadable("a field of a dtype is not a dtype")
    has_object = dtype.kind == "O" or any(each.has_object for each in inner)
    if dtype.kind == "V" and bool(flags & _HAS_OBJECT) != has_object:
        raise Unreadable("a dtype hides whether its elements are objects")
    dtype.has_object = has_object


_SUBCLASSES: Final = frozenset(
    {
        Global("numpy", "ndarray"),
        Global("numpy", "memmap"),
        Global("numpy", "matrix"),
        Global("numpy.matrixlib.defmatrix", "matrix"),
    }
)
_WRAPPER_KEYS: Final = frozenset({"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"})
_ALIGNMENT: Final = "numpy_array_alignment_bytes"


@dataclass(eq=False, slots=True)
class Wrapper:
    """A joblib array wrapper, before its array was read."""

    built: bool = field(default=False)

    def describe(self, state: Any) -> tuple[int | None, bool]:
        """The bytes of its array, and whether a length of padding comes before them; None: a pickle follows.

        Raises:
            Unreadable: joblib writes another form.
        """
        if self.built or not isinstance(state, Pairs):
            raise Unreadable("an array wrapper has another form than joblib writes")
        self.built = True
        found = state.by_name()
        shape, dtype, padding = found.get("shape"), found.get("dtype"), found.get(_ALIGNMENT)
        known = (
            found.keys() <= _WRAPPER_KEYS
            and found.keys() >= _WRAPPER_KEYS - {_ALIGNMENT}
            and isinstance(found["subclass"], Global)
            and found["subclass"] in _SUBCLASSES
            and found["order"] in ("C", "F")
            and type(found["allow_mmap"]) is bool
            and (padding is None or type(padding) is int)
            and isinstance(dtype, Dtype)
            and isinstance(shape, tuple)
            and all(type(each) is int and 0 <= each < 1 << 40 for each in shape)
        )
        if not known or not isinstance(dtype, Dtype) or not isinstance(shape, tuple):
            raise Unreadable("an array wrapper has another form than joblib writes")
        if not dtype.complete and dtype.kind in _SIZED:
            raise Unreadable("the dtype of an array is not complete")
        if dtype.has_object:
            return None, False
        length = dtype.itemsize
        for each in shape:
            length *= each
        return length, padding is not None
