"""Follows the opcodes of a pickle as a loader does, without a class or a function being called."""

import _compat_pickle
from collections.abc import Callable
from typing import Any, Final

from trivet.packaging.pickles.allowed import Allowed
from trivet.packaging.pickles.source import Source, Unreadable
from trivet.packaging.pickles.values import (
    OPAQUE,
    WRAPPER,
    Bytes,
    Dtype,
    Global,
    Instance,
    Pairs,
    Wrapper,
    dtype_of,
    state_of_dtype,
)

__all__ = ["Machine"]

MAX_TEXT: Final = 4096
MAX_NUMBER: Final = 4096
NEWEST_PROTOCOL: Final = 5
FIRST_OWN_NAMES: Final = 3
"""Before this protocol a loader reads the names of Python 2."""

_DTYPE: Final = Global("numpy", "dtype")
_ENCODE: Final = Global("_codecs", "encode")
_RECONSTRUCT: Final = Global("copyreg", "_reconstructor")
_OBJECT: Final = Global("builtins", "object")


class Machine:
    """One file's reader.

    Args:
        source: the bytes.
        allowed: the names that are expected.
        nested: whether the pickle is in an array's place: it is loaded without joblib, which reads no arrays.

    Attributes:
        source: the bytes.
        forbidden: names that are not allowed, in the order in which they are met.
        states: the dictionaries that instances got, with the instance.
        arrays: whether an array follows outside of a pickle: only joblib loads such a file.
    """

    def __init__(self, source: Source, *, allowed: Allowed, nested: bool = False) -> None:
        self.source = source
        self.allowed = allowed
        self._nested = nested
        self._protocol = 0
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self.forbidden: dict[Global, None] = {}
        self.states: list[Instance] = []
        self.arrays = False

    def inside(self, *, nested: bool) -> "Machine":
        """A reader of the pickle that begins here: it has a stack of its own, and shares what is found."""
        other = Machine(self.source, allowed=self.allowed, nested=nested)
        other.forbidden, other.states = self.forbidden, self.states
        return other

    def result(self) -> Any:
        """What the pickle loads: the one value on the stack."""
        self.source.leave_frame()
        if len(self._stack) != 1 or self._marks:
            raise Unreadable("it ends with another number of values than one")
        return self.take()

    # --- the stack ---

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def take(self, *, of_wrapper: bool = False) -> Any:
        """The value on top. The class of array wrappers is only ever made an instance of: else an array could hide."""
        if not self._stack:
            raise Unreadable("a value is missing")
        value = self._stack.pop()
        if value is WRAPPER and not of_wrapper:
            raise Unreadable("the class of array wrappers is used as a value")
        return value

    def take_marked(self) -> list[Any]:
        """The values above the last mark."""
        if not self._marks:
            raise Unreadable("a mark is missing")
        items, self._stack = self._stack, self._marks.pop()
        if any(each is WRAPPER for each in items):
            raise Unreadable("the class of array wrappers is used as a value")
        return items

    def mark(self) -> None:
        """MARK."""
        self._marks.append(self._stack)
        self._stack = []

    def pop(self) -> None:
        """POP."""
        self.take()

    def pop_mark(self) -> None:
        """POP_MARK."""
        self.take_marked()

    def dup(self) -> None:
        """DUP."""
        value = self.take()
        self._stack += [value, value]

    # --- the memo ---

    def memoize(self, index: int | None = None) -> None:
        """MEMOIZE, PUT."""
        if not self._stack:
            raise Unreadable("a value is missing")
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]

    def recall(self, index: int) -> None:
        """GET."""
        if index not in self._memo:
            raise Unreadable("it recalls a value that it has not kept")
        self._stack.append(self._memo[index])

    # --- numbers and texts ---

    def proto(self) -> None:
        """PROTO."""
        self._protocol = self.source.number(1)
        if self._protocol > NEWEST_PROTOCOL:
            raise Unreadable(f"protocol {self._protocol} is not known")

    def text(self, width: int) -> None:
        """A text with its length."""
        length = self.source.number(width)
        if length > MAX_TEXT:
            self._skip(length)
            return
        try:
            self.push(self.source.read(length).decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            raise Unreadable("a text is not UTF-8") from None

    def data(self, width: int) -> None:
        """Bytes with their length."""
        self._skip(self.source.number(width))

    def _skip(self, length: int) -> None:
        self.push(Bytes(self.source.position, length))
        self.source.skip(length)

    def long(self, width: int) -> None:
        """A number with its length."""
        length = self.source.number(width)
        if length > MAX_NUMBER:
            raise Unreadable("a number is too long")
        self.push(int.from_bytes(self.source.read(length), "little", signed=True))

    def decimal(self) -> None:
        """INT, LONG: a number as a line."""
        line = self.source.line()
        try:
            self.push({"00": False, "01": True}[line] if line in {"00", "01"} else int(line.removesuffix("L")))
        except ValueError:
            raise Unreadable("a number is not a number") from None

    # --- containers ---

    def tuple_of(self, count: int) -> None:
        """TUPLE1 to TUPLE3."""
        self.push(tuple([self.take() for _ in range(count)][::-1]))

    def append(self, items: list[Any]) -> None:
        """APPEND, APPENDS, ADDITEMS: to what is on the stack."""
        target = self.take()
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Instance) and target is not OPAQUE:
            raise Unreadable("items are added to what is not a list")
        self.push(target)

    def set_items(self, items: list[Any]) -> None:
        """SETITEM, SETITEMS."""
        target = self.take()
        if len(items) % 2 or not isinstance(target, Pairs | Instance):
            raise Unreadable("items are set in what is not a dictionary")
        if isinstance(target, Pairs):
            target.items.extend(zip(items[::2], items[1::2], strict=True))
        self.push(target)

    def dict_of(self) -> None:
        """DICT."""
        items = self.take_marked()
        self.push(Pairs())
        self.set_items(items)

    def frozen_set(self) -> None:
        """FROZENSET."""
        self.take_marked()
        self.push(OPAQUE)

    # --- names and calls ---

    def name(self, module: Any, name: Any) -> None:
        """GLOBAL, STACK_GLOBAL."""
        if type(module) is not str or type(name) is not str:
            raise Unreadable("the name of a class is not text")
        if self._protocol < FIRST_OWN_NAMES:
            if (module, name) in _compat_pickle.NAME_MAPPING:
                module, name = _compat_pickle.NAME_MAPPING[module, name]
            else:
                module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        found = Global(module, name)
        if found == WRAPPER:
            if self._nested:
                raise Unreadable("an array wrapper is inside the pickle of an array")
            found = WRAPPER
        elif found not in self.allowed:
            self.forbidden[found] = None
        self.push(found)

    def line_name(self) -> None:
        """GLOBAL."""
        module = self.source.line()
        self.name(module, self.source.line())

    def call(self, function: Any, args: Any) -> None:
        """REDUCE, NEWOBJ, INST, OBJ."""
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise Unreadable("something is called that is not a class or a function")
        if function in self.allowed.named:
            raise Unreadable(f"{function} is called, and may only be named")
        if function == _ENCODE and (len(args) != 2 or args[1] not in ("latin1", "latin-1")):
            raise Unreadable("_codecs.encode is called with another encoding than pickles use")
        if function == _RECONSTRUCT and (len(args) != 3 or args[1:] != (_OBJECT, None)):
            raise Unreadable("copyreg._reconstructor is called with another base than object")
        made = dtype_of(args) if function == _DTYPE else None
        self.push(Instance(function, args) if made is None else made)

    def reduce(self) -> None:
        """REDUCE."""
        args = self.take()
        self.call(self.take(), args)

    def new(self) -> None:
        """NEWOBJ."""
        args = self.take()
        found = self.take(of_wrapper=True)
        if found is not WRAPPER:
            self.call(found, args)
        elif args != ():
            raise Unreadable("an array wrapper has another form than joblib writes")
        else:
            self.push(Wrapper())

    def new_with_names(self) -> None:
        """NEWOBJ_EX."""
        names = self.take()
        args = self.take()
        if not isinstance(names, Pairs):
            raise Unreadable("named arguments are not a dictionary")
        self.call(self.take(), args)

    def inst(self) -> None:
        """INST."""
        self.line_name()
        found = self.take()
        self.call(found, tuple(self.take_marked()))

    def obj(self) -> None:
        """OBJ."""
        found, *args = self.take_marked() or [None]
        self.call(found, tuple(args))

    def build(self, walk: Callable[["Machine"], Any]) -> None:
        """BUILD: give an instance its state. The array of a wrapper follows, as bytes or as a pickle to `walk`."""
        state = self.take()
        target = self.take()
        if isinstance(target, Wrapper):
            self._array(target, state, walk)
            target = OPAQUE
        elif isinstance(target, Dtype):
            state_of_dtype(target, state)
        elif isinstance(target, Instance):
            target.state = state
            _check_state(state)
            self.states.append(target)
        else:
            raise Unreadable("a state is given to what is not an instance")
        self.push(target)

    def _array(self, wrapper: Wrapper, state: Any, walk: Callable[["Machine"], Any]) -> None:
        self.arrays = True
        source = self.source
        length, padded = wrapper.describe(state)
        source.leave_frame()
        if length is None:
            walk(self.inside(nested=True))
            return
        source.skip(source.number(1) if padded else 0)
        source.skip(length)


def _check_state(state: Any) -> None:
    """A state of two parts sets attributes of every kind, such as `__class__`."""
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], Pairs):
        for name, _ in state[1].items:
            if type(name) is not str or name.startswith("__"):
                raise Unreadable("the state of an instance sets an attribute of its class")
