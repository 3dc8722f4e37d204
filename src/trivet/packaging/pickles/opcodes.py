"""The opcodes of pickles, and what each does to the stack of a loader."""

import pickletools
from collections.abc import Callable
from typing import Any, Final

from trivet.packaging.pickles.machine import Machine
from trivet.packaging.pickles.source import Unreadable
from trivet.packaging.pickles.values import OPAQUE, Pairs

__all__ = ["walk"]

MAX_STEPS: Final = 50_000_000
"""Opcodes of a pickle: some minutes of work."""

_STOP: Final = ord(".")
_PROTO: Final = 0x80


def walk(machine: Machine) -> Any:
    """Follow one pickle to its end, and return what it would load.

    Raises:
        Unreadable: it has a part that cannot be followed.
    """
    source = machine.source
    for number in range(MAX_STEPS):
        code = source.opcode()
        if code == _STOP:
            return machine.result()
        step = _STEPS.get(code)
        if step is None or (code == _PROTO and number):
            raise Unreadable(f"opcode {code:#04x} is not expected there")
        step(machine)
    raise Unreadable(f"it has more than {MAX_STEPS} steps")


def _constant(value: Any) -> Callable[[Machine], None]:
    return lambda machine: machine.push(value)


def _with(method: Callable[[Machine, int], None], number: int) -> Callable[[Machine], None]:
    return lambda machine: method(machine, number)


def _indexed(method: Callable[[Machine, int], None], width: int) -> Callable[[Machine], None]:
    return lambda machine: method(machine, machine.source.number(width))


def _by_line(method: Callable[[Machine, int], None]) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        machine.decimal()
        index = machine.take()
        if type(index) is not int:
            raise Unreadable("an index is not a number")
        method(machine, index)

    return step


def _skipped(width: int) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        machine.source.skip(width)
        machine.push(OPAQUE)

    return step


def _float_line(machine: Machine) -> None:
    machine.source.line()
    machine.push(OPAQUE)


def _text_line(machine: Machine) -> None:
    try:
        machine.push(machine.source.line_bytes().decode("raw-unicode-escape"))
    except UnicodeDecodeError:
        raise Unreadable("a text is not text") from None


def _stack_name(machine: Machine) -> None:
    name = machine.take()
    machine.name(machine.take(), name)


# The names are those of `pickletools`. What is missing is refused: persistent ids, EXT, buffers outside of the file, and the
# texts of Python 2.
_BY_NAME: Final[dict[str, Callable[[Machine], None]]] = {
    "PROTO": Machine.proto,
    "FRAME": lambda machine: machine.source.begin_frame(machine.source.number(8)),
    "MARK": Machine.mark,
    "POP": Machine.pop,
    "POP_MARK": Machine.pop_mark,
    "DUP": Machine.dup,
    "MEMOIZE": Machine.memoize,
    "PUT": _by_line(Machine.memoize),
    "BINPUT": _indexed(Machine.memoize, 1),
    "LONG_BINPUT": _indexed(Machine.memoize, 4),
    "GET": _by_line(Machine.recall),
    "BINGET": _indexed(Machine.recall, 1),
    "LONG_BINGET": _indexed(Machine.recall, 4),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "INT": Machine.decimal,
    "LONG": Machine.decimal,
    "BININT": lambda machine: machine.push(machine.source.number(4, signed=True)),
    "BININT1": lambda machine: machine.push(machine.source.number(1)),
    "BININT2": lambda machine: machine.push(machine.source.number(2)),
    "LONG1": _with(Machine.long, 1),
    "LONG4": _with(Machine.long, 4),
    "FLOAT": _float_line,
    "BINFLOAT": _skipped(8),
    "UNICODE": _text_line,
    "SHORT_BINUNICODE": _with(Machine.text, 1),
    "BINUNICODE": _with(Machine.text, 4),
    "BINUNICODE8": _with(Machine.text, 8),
    "SHORT_BINBYTES": _with(Machine.data, 1),
    "BINBYTES": _with(Machine.data, 4),
    "BINBYTES8": _with(Machine.data, 8),
    "BYTEARRAY8": _with(Machine.data, 8),
    "EMPTY_TUPLE": _constant(()),
    "TUPLE": lambda machine: machine.push(tuple(machine.take_marked())),
    "TUPLE1": _with(Machine.tuple_of, 1),
    "TUPLE2": _with(Machine.tuple_of, 2),
    "TUPLE3": _with(Machine.tuple_of, 3),
    "EMPTY_LIST": lambda machine: machine.push([]),
    "LIST": lambda machine: machine.push(machine.take_marked()),
    "APPEND": lambda machine: machine.append([machine.take()]),
    "APPENDS": lambda machine: machine.append(machine.take_marked()),
    "EMPTY_DICT": lambda machine: machine.push(Pairs()),
    "DICT": Machine.dict_of,
    "SETITEM": lambda machine: machine.set_items([machine.take(), machine.take()][::-1]),
    "SETITEMS": lambda machine: machine.set_items(machine.take_marked()),
    "EMPTY_SET": _constant(OPAQUE),
    "ADDITEMS": lambda machine: machine.append(machine.take_marked()),
    "FROZENSET": Machine.frozen_set,
    "GLOBAL": Machine.line_name,
    "STACK_GLOBAL": _stack_name,
    "REDUCE": Machine.reduce,
    "NEWOBJ": Machine.new,
    "NEWOBJ_EX": Machine.new_with_names,
    "INST": Machine.inst,
    "OBJ": Machine.obj,
    "BUILD": lambda machine: machine.build(walk),
}
_STEPS: Final = {ord(each.code): _BY_NAME[each.name] for each in pickletools.opcodes if each.name in _BY_NAME}
