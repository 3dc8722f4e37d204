"""What is known of a tensor, and of a node, before any row arrives."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trivet.engine.native.graphs.sizes import NotHarmless, Size, product

if TYPE_CHECKING:
    import onnx

__all__ = ["FLOATS", "INTEGERS", "ROW_TEXT", "Kind", "Node", "Value"]

ROW_TEXT = "text"
"""The symbol of the bytes of all text in a request."""

MAX_CONTENT = 4096
"""Shapes and the like are short; longer integers are not followed."""


class Kind:
    """Element types by their numbers in the ONNX format."""

    FLOAT, UINT8, INT8, UINT16, INT16, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE, UINT32, UINT64 = range(1, 14)


FLOATS = frozenset({Kind.FLOAT, Kind.FLOAT16, Kind.DOUBLE})
INTEGERS = frozenset({Kind.UINT8, Kind.INT8, Kind.UINT16, Kind.INT16, Kind.INT32, Kind.INT64, Kind.UINT32, Kind.UINT64})
BYTES = {
    **dict.fromkeys((Kind.UINT8, Kind.INT8, Kind.BOOL), 1),
    **dict.fromkeys((Kind.UINT16, Kind.INT16, Kind.FLOAT16), 2),
    **dict.fromkeys((Kind.FLOAT, Kind.INT32, Kind.UINT32), 4),
    **dict.fromkeys((Kind.DOUBLE, Kind.INT64, Kind.UINT64), 8),
    Kind.STRING: 32,
}


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor.

    Attributes:
        kind: its element type.
        dims: bounds of its dimensions.
        elements: a bound of how many elements it has.
        content: its integers where it has at most one dimension and they are known, or bounded by sizes.
        constant: its elements, where no row decides them and they were followed.
        copies: how often text of the rows can be in it.
        longest: bytes of the longest text that is not of the rows.
    """

    kind: int
    dims: tuple[Size, ...]
    elements: Size
    content: tuple[Size, ...] | None = None
    constant: np.ndarray | None = None
    copies: int = 0
    longest: int = 0

    @classmethod
    def of(cls, kind: int, dims: tuple[Size, ...] | list[Size], **known: Any) -> "Value":
        """A tensor with as many elements as its dimensions allow."""
        if kind not in BYTES:
            raise NotHarmless(f"has elements of type {kind}, which is not followed")
        return cls(kind, tuple(dims), product(tuple(dims)), **known)

    @classmethod
    def fixed(cls, array: np.ndarray, kind: int) -> "Value":
        """A constant."""
        dims = tuple(map(Size.of, array.shape))
        content = None
        if kind in INTEGERS and array.ndim <= 1 and array.size <= MAX_CONTENT:
            content = tuple(Size.of(int(each)) for each in array.reshape(-1))
        longest = max(map(_length, array.reshape(-1)), default=0) if kind == Kind.STRING else 0
        return cls.of(kind, dims, content=content, constant=array, longest=longest)

    @property
    def rank(self) -> int:
        """How many dimensions it has."""
        return len(self.dims)

    @property
    def nbytes(self) -> Size:
        """A bound of its bytes."""
        own = self.elements * Size.of(BYTES[self.kind] + self.longest)
        return own + Size({(ROW_TEXT,): self.copies}) if self.copies else own

    def shaped(self, dims: tuple[Size, ...] | list[Size]) -> "Value":
        """The same elements, or some of them, in other dimensions; the elements themselves are not followed."""
        made = Value.of(self.kind, dims, copies=self.copies, longest=self.longest)
        return replace(made, elements=self.elements) if made.elements != self.elements else made

    def like(self, kind: int | None = None) -> "Value":
        """A tensor of numbers of the same shape."""
        return Value(self.kind if kind is None else kind, self.dims, self.elements)


def _length(text: Any) -> int:
    return len(text if isinstance(text, bytes) else str(text).encode())


class Node:
    """A node whose inputs are known. A rule writes `steps` where it takes more than one a number.

    Args:
        proto: as the file has it.
        inputs: what is known of them; None for one that is left out.
        opset: the version of its domain.
    """

    def __init__(self, proto: "onnx.NodeProto", inputs: list[Value | None], opset: int) -> None:
        self.op = proto.op_type
        self.inputs = inputs
        self.outputs = list(proto.output)
        self.opset = opset
        self.steps: Size | None = None
        self._attributes = {each.name: each for each in proto.attribute}

    def __getitem__(self, index: int) -> Value:
        """An input that the rule needs."""
        found = self.get(index)
        if found is None:
            raise NotHarmless("lacks an input")
        return found

    def get(self, index: int) -> Value | None:
        """An input, if it is there."""
        return self.inputs[index] if index < len(self.inputs) else None

    @property
    def present(self) -> list[Value]:
        """All inputs that are there."""
        return [each for each in self.inputs if each is not None]

    def attribute(self, name: str) -> "onnx.AttributeProto | None":
        """An attribute as the file has it."""
        return self._attributes.get(name)

    def integer(self, name: str, default: int = 0) -> int:
        """A whole number."""
        found = self.attribute(name)
        return default if found is None else int(found.i)

    def integers(self, name: str) -> list[int] | None:
        """Whole numbers, or None."""
        found = self.attribute(name)
        return None if found is None else list(found.ints)

    def floats(self, name: str) -> list[float] | None:
        """Numbers, or None."""
        found = self.attribute(name)
        return None if found is None else list(found.floats)

    def text(self, name: str, default: str = "") -> str:
        """A text."""
        found = self.attribute(name)
        return default if found is None else found.s.decode(errors="replace")

    def texts(self, name: str) -> list[bytes] | None:
        """Texts, or None."""
        found = self.attribute(name)
        return None if found is None else list(found.strings)

    def axis(self, rank: int, default: int = 0, *, name: str = "axis") -> int:
        """A dimension's index, counted from the front."""
        return from_front(self.integer(name, default), rank)

    def whole(self, index: int, *, name: str) -> list[int]:
        """The integers of an input, or of the attribute `name` that earlier versions have in its place; none if both are absent."""
        given = self.get(index)
        if given is None:
            return self.integers(name) or []
        known = None if given.content is None else [each.known for each in given.content]
        if known is None or None in known:
            raise NotHarmless(f"takes its {name} from its rows")
        return [each for each in known if each is not None]

    def target(self, index: int, *, name: str) -> tuple[Size, ...]:
        """A shape, or a part of one, that no row decides other than by its own size."""
        found = self[index]
        if found.content is None or found.rank > 1:
            raise NotHarmless(f"takes {name} from its rows")
        return found.content

    def axes(self, index: int, rank: int) -> list[int]:
        """The dimensions that input or attribute `axes` names."""
        return [from_front(each, rank) for each in self.whole(index, name="axes")]


def from_front(axis: int, rank: int) -> int:
    """An index of a dimension, counted from the front.

    Raises:
        NotHarmless: there is no such dimension.
    """
    if not -rank <= axis < max(rank, 1):
        raise NotHarmless(f"has no dimension {axis}")
    return axis % max(rank, 1)
