"""What an expression costs for each row, read from its JSON form before it is evaluated.

Everything that a validation may use takes time linear in the values that it reads. Only few functions return more text than they
get: joining texts, and a text of the expression itself that takes the place of a value. Their growth multiplies where they are
nested, so it is bounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from trivet.engine.checks.literals import items_of, refused, tagged
from trivet.engine.checks.patterns import positions
from trivet.errors import TooLarge

__all__ = ["Cost", "cost_of"]

MOST_NODES: Final = 2000
MOST_DEPTH: Final = 100
MOST_GROWTH: Final = 16
MOST_TEXT: Final = 4096

_JOINING: Final = ("SumHorizontal",)
_CHOOSING: Final = ("Coalesce", "MinHorizontal", "MaxHorizontal", "FillNull", "Clip")
_KEEPING: Final = (
    *("ListExpr.Get", "ListExpr.Min", "ListExpr.Max", "ListExpr.Slice", "StructExpr.FieldByName"),
    *("StringExpr.StripChars", "StringExpr.StripCharsStart", "StringExpr.StripCharsEnd", "StringExpr.Slice"),
    *("StringExpr.Head", "StringExpr.Tail", "Min", "Max", "Abs", "Negate"),
)
_CASES: Final = ("StringExpr.Lowercase", "StringExpr.Uppercase")
_CASE_GROWTH: Final = 3
"""A letter of two bytes may have an upper case of six."""
_NUMBER_TEXT: Final = 32
"""A number or a moment as text."""
_PATTERNS: Final = ("StringExpr.Contains", "StringExpr.Find")


@dataclass(frozen=True, slots=True)
class Cost:
    """What an expression costs.

    Attributes:
        nodes: how many operations it has.
        positions: of its regular expressions.
        growth: the most text that an operation returns, as a multiple of the row's bytes …
        text: … and besides that, in bytes for each row.
    """

    nodes: int
    positions: int
    growth: int
    text: int


@dataclass(frozen=True, slots=True)
class _Text:
    """The text that a node returns for each row: a multiple of the row's bytes, and a number of bytes besides."""

    growth: int = 0
    text: int = 0

    def __add__(self, other: "_Text") -> "_Text":
        return _Text(self.growth + other.growth, self.text + other.text)

    def __or__(self, other: "_Text") -> "_Text":
        return _Text(max(self.growth, other.growth), max(self.text, other.text))


_NONE: Final = _Text()
_WHOLE: Final = _Text(1)


def cost_of(tree: Any, kinds: Mapping[str, pa.DataType]) -> Cost:
    """The cost of an expression that `read_expression` reads. It needs no polars.

    Args:
        tree: the parsed JSON.
        kinds: the types of columns, where they are known. A column that is not among them counts as a text.

    Raises:
        Invalid: a regular expression comes from the rows, or cannot be read; a list is compressed, or of another type.
        TooLarge: it has too many operations, a text grows too much, or a list or a regular expression is too large.
    """
    meter = _Meter(kinds)
    meter.text(tree)
    return Cost(meter.nodes, meter.positions, meter.most.growth, meter.most.text)


class _Meter:
    """One walk over one tree.

    Attributes:
        nodes: those found so far.
        positions: of the regular expressions found so far.
        most: the largest text of an operation so far.
    """

    def __init__(self, kinds: Mapping[str, pa.DataType]) -> None:
        self._kinds = kinds
        self._depth = 0
        self.nodes = 0
        self.positions = 0
        self.most = _NONE

    def text(self, node: Any) -> _Text:
        """The text that a node returns."""
        self.nodes += 1
        self._depth += 1
        if self.nodes > MOST_NODES or self._depth > MOST_DEPTH:
            raise TooLarge("the expression is too large", fix="split it into several validations")
        found = self._text(*tagged(node))
        self._depth -= 1
        return found

    def _text(self, kind: str, content: Any) -> _Text:
        match kind:
            case "Column":
                known = self._kinds.get(content)
                return _WHOLE if known is None or _holds_text(known) else _NONE
            case "Element":
                return _WHOLE
            case "Literal":
                return _Text(0, _literal_bytes(content))
            case "Alias":
                return self.text(content[0])
            case "BinaryExpr":
                return self._binary(content)
            case "Cast":
                inner = self.text(content["expr"])
                return self._made(inner | _Text(0, _NUMBER_TEXT)) if _is_text(content["dtype"]) else _NONE
            case "Ternary":
                self.text(content["predicate"])
                return self._made(self.text(content["truthy"]) | self.text(content["falsy"]))
            case "Function":
                return self._function(content)
            case "Agg":
                _, inner = tagged(content)
                return self.text(inner["input"] if isinstance(inner, Mapping) and "input" in inner else inner)
            case "Eval":
                values, each = self.text(content["expr"]), self.text(content["evaluation"])
                # A text of the expression comes once for each item, and an item takes a byte at least.
                return self._made(_Text((values.growth or 1) * (each.growth + each.text), values.text * each.growth))
        return _NONE

    def _binary(self, content: Any) -> _Text:
        left, right = self.text(content["left"]), self.text(content["right"])
        return self._made(left + right) if content["op"] == "Plus" else _NONE

    def _function(self, content: Any) -> _Text:
        name, options = function_name(content["function"])
        given = content["input"]
        inputs = [self.text(each) for each in given]
        if (
            name in _PATTERNS
            and len(given) > 1
            and not (isinstance(options, Mapping) and options.get("literal") is True)
        ):
            self.positions += positions(_pattern(given[1]))
        if name == "Boolean.IsIn" and len(given) > 1 and not self._is_list(given[1]):
            raise refused("is_in with the values of other rows", "a row's answer must not depend on other rows")
        if name in _JOINING:
            return self._made(sum(inputs, _NONE))
        if name in _CHOOSING:
            chosen = _NONE
            for each in inputs:
                chosen |= each
            return self._made(chosen)
        if name in _CASES:
            return self._made(_Text(inputs[0].growth * _CASE_GROWTH, inputs[0].text * _CASE_GROWTH))
        return inputs[0] if name in _KEEPING and inputs else _NONE

    def _is_list(self, node: Any) -> bool:
        """Whether a node holds a list in each row, or is one of the expression itself."""
        kind, content = tagged(node)
        if kind == "Function":
            return function_name(content["function"])[0] in ("ListExpr.Slice", "ListExpr.Get", "StructExpr.FieldByName")
        if kind != "Column":
            return kind in ("Literal", "Eval") or (kind == "Alias" and self._is_list(content[0]))
        known = self._kinds.get(content)
        is_list = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        return known is None or any(is_kind(known) for is_kind in is_list)

    def _made(self, text: _Text) -> _Text:
        """Count the text that an operation returns."""
        if text.growth > MOST_GROWTH or text.text > MOST_TEXT:
            raise TooLarge(
                "a text grows too much in the expression",
                why=f"for each row it may become {text.growth} times the row and {text.text} bytes",
                fix=f"join fewer texts: at most {MOST_GROWTH} times the row and {MOST_TEXT} bytes; cast numbers: "
                'pl.col("in.x").cast(pl.Float64)',
            )
        self.most |= text
        return text


def function_name(node: Any) -> tuple[str, Any]:
    """`{"ListExpr": {"Get": false}}` is the function `ListExpr.Get` with the option false."""
    group, rest = tagged(node)
    if group in ("ListExpr", "StringExpr", "TemporalExpr", "StructExpr", "ArrayExpr", "Boolean", "Pow", "Trigonometry"):
        name, options = tagged(rest)
        return f"{group}.{name}", options
    return group, rest


def _pattern(node: Any) -> str:
    kind, content = tagged(node)
    if kind == "Alias":
        return _pattern(content[0])
    text = _literal_text(content) if kind == "Literal" else None
    if text is None:
        raise refused("a regular expression that is not a plain text", "callers would bring patterns of any cost")
    return text


def _literal_text(node: Any) -> str | None:
    """The text of a literal; None if it is not a text."""
    value = _literal_value(node)
    return value if isinstance(value, str) else None


def _literal_bytes(node: Any) -> int:
    """The bytes of a literal's text, or of the longest text in its list."""
    value = _literal_value(node)
    texts = value if isinstance(value, list) else [value]
    return max((len(text.encode()) for text in texts if isinstance(text, str)), default=0)


def _literal_value(node: Any) -> str | list[Any] | None:
    """The text or the list of a literal, in the forms that several releases write; None for other literals."""
    while isinstance(node, Mapping) and len(node) == 1:
        ((kind, node),) = node.items()
        if kind == "Scalar" and isinstance(node, Mapping) and "value" in node:
            node = node["value"]
        kind = kind.removesuffix("Owned")
        if kind in ("String", "Str", "Utf8"):
            return node if isinstance(node, str) else None
        if kind in ("List", "Series"):
            return items_of(node)
    return None


def _is_text(node: Any) -> bool:
    name, detail = tagged(node)
    return (tagged(detail)[0] if name == "Literal" else name) in ("String", "Utf8")


def _holds_text(kind: pa.DataType) -> bool:
    return not (pa.types.is_primitive(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind))
