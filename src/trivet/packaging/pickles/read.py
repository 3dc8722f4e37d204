"""Reads a pickle file to its last byte, and says what it holds and what it would run."""

import io
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from trivet.packaging.limits import Limits
from trivet.packaging.pickles.allowed import Allowed
from trivet.packaging.pickles.containers import beginning, opened
from trivet.packaging.pickles.machine import Machine
from trivet.packaging.pickles.opcodes import walk
from trivet.packaging.pickles.source import Source, Unreadable
from trivet.packaging.pickles.values import OPAQUE, Bytes, Global, Instance, Pairs

__all__ = ["Document", "PickleFacts", "first_names", "read_pickle"]

MAX_PICKLES: Final = 1000
NO_LIMITS_SET: Final = Limits()
SCIKIT_LEARN_VERSION: Final = "_sklearn_version"
NO_NAMES: Final = Allowed(called=frozenset(), named=frozenset())
ENDLESS: Final = 1 << 62
_VERSION: Final = re.compile(r"\d+(\.\d+)+((a|b|rc|\.dev|\.post)\d+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A file of another format that instances of a class hold in their state.

    Attributes:
        of: the class, as `module.name`.
        keys: of the state, in turn.
        read: reads the file, which begins where the stream is and has that many bytes.
    """

    of: str
    keys: tuple[str, ...]
    read: Callable[[IO[bytes], int], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class PickleFacts:
    """What a pickle file holds. Nothing of it was loaded.

    Attributes:
        loaded: what its first pickle loads, as far as it was followed; None if that is not an instance of a class.
        forbidden: classes and functions that it names and that are not allowed, as `module.name`.
        broken: why the rest of it cannot be followed; None if it was read to its last byte.
        sklearn: the release of scikit-learn that wrote it, where it says so.
        document: what the reader of documents made of the last one in it; None without one.
        container: what joblib compressed it with.
        needs_joblib: whether only joblib loads it.
    """

    loaded: Instance | None
    forbidden: tuple[str, ...]
    broken: str | None
    sklearn: str | None
    document: Any
    container: str | None
    needs_joblib: bool

    @property
    def is_expected(self) -> bool:
        """Whether all of it was followed, and all that it names is allowed."""
        return self.broken is None and not self.forbidden


def read_pickle(
    path: Path, *, allowed: Allowed, limits: Limits = NO_LIMITS_SET, document: Document | None = None
) -> PickleFacts:
    """Read a pickle file, plain or in joblib's containers.

    Args:
        path: the file.
        allowed: the names that the framework's pickles have.
        limits: on what a container holds.
        document: what to read of the files of other formats in it.

    Raises:
        TooLarge: the container holds more than the limits allow.
    """
    machine: Machine | None = None
    container = broken = loaded = held = None
    try:
        with opened(path, limits=limits) as (file, size, container):
            source = Source(file, size=size)
            machine = Machine(source, allowed=allowed)
            loaded = walk(machine)
            for _ in range(MAX_PICKLES):
                if source.at_end:
                    break
                walk(machine.inside(nested=False))
            if not source.at_end:
                raise Unreadable(f"it holds more than {MAX_PICKLES} pickles")
            held = _held(machine.states, document, file)
    except Unreadable as error:
        at = "" if machine is None else f" at byte {machine.source.position}"
        broken = f"{error}{at}"
    except RecursionError:
        broken = "its values are nested too deeply"
    return PickleFacts(
        loaded=loaded if isinstance(loaded, Instance) else None,
        forbidden=() if machine is None else tuple(str(each) for each in machine.forbidden),
        broken=broken,
        sklearn=None if machine is None else _version(machine.states),
        document=held,
        container=container,
        needs_joblib=container is not None or (machine is not None and machine.arrays),
    )


def _held(states: list[Instance], document: Document | None, file: IO[bytes]) -> Any:
    found = [] if document is None else [each for each in states if str(each.of) == document.of]
    if document is None or not found or not isinstance(found[-1].state, Pairs):
        return None
    value = next((each for key in document.keys if (each := found[-1].state.get(key)) is not None), None)
    if isinstance(value, Instance) and value.of == Global("builtins", "bytearray") and value.args:
        value = value.args[0]
    if type(value) is str:
        data = value.encode("utf-8", "replace")
        return document.read(io.BytesIO(data), len(data))
    if not isinstance(value, Bytes):
        return None
    file.seek(value.at)
    return document.read(file, value.length)


def first_names(path: Path) -> tuple[Global, ...]:
    """The classes and functions that the beginning of a pickle file names, in order. This checks nothing."""
    machine = Machine(Source(io.BytesIO(beginning(path)), size=ENDLESS), allowed=NO_NAMES)
    with suppress(Unreadable, RecursionError):
        walk(machine)
    return tuple(machine.forbidden)


def _version(states: list[Instance]) -> str | None:
    """The release that the outermost of its estimators names: states come from the inside out."""
    for each in reversed(states):
        found: Any = each.state.get(SCIKIT_LEARN_VERSION) if isinstance(each.state, Pairs) else OPAQUE
        if type(found) is str and _VERSION.fullmatch(found):
            return found
    return None
