"""The short text of types and schemas, read.

schema  = [field] {(";" | newline) [field]}
field   = name ":" type ["?"]                    "?": may be null
name    = identifier | JSON string
type    = element {["!"] "[" sizes "]"}          "!": the items to its left are never null
sizes   = "" | "large" | size {"," size}         several sizes: the outermost first
size    = number | "*" | "large" | ""            "*" and "" are any length; "large" is Arrow's large_list
element = "bool" | "int8" … | "struct" "{" field {"," field} "}" | "timestamp" "[" unit ["," zone] "]"
        | "duration" "[" unit "]" | "decimal128" "(" precision "," scale ")" | "binary" "(" width ")"
"""

import json
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import NoReturn

import pyarrow as pa

from trivet.domain.schema_format import IDENTIFIER, PRIMITIVES, ZONE
from trivet.domain.schema_rules import MAX_DEPTH, MAX_VALUES, TIME_REFUSED, check_names, check_schema
from trivet.errors import Invalid

__all__ = ["parse_field_type", "parse_schema", "parse_type"]

DECIMALS: dict[str, tuple[Callable[[int, int], pa.DataType], int]] = {
    "decimal128": (pa.decimal128, 38),
    "decimal256": (pa.decimal256, 76),
}
KNOWN = [*PRIMITIVES, *DECIMALS, "timestamp", "duration", "struct"]
ALIASES = {
    "boolean": "bool",
    "bool_": "bool",
    "byte": "int8",
    "char": "string",
    "decimal": "decimal128(10,2)",
    "decimal32": "decimal128(9,2)",
    "decimal64": "decimal128(18,2)",
    "double": "float64",
    "float": "float32 or float64",
    "half": "float16",
    "halffloat": "float16",
    "int": "int64 or int32",
    "integer": "int64",
    "long": "int64",
    "number": "float64",
    "str": "string",
    "text": "string",
    "utf8": "string",
    "bytes": "binary",
    "date": "date32",
    "datetime": "timestamp[ms]",
    "list": "float32[]",
    "array": "float32[]",
    "tensor": "float32[29]",
    "list_": "float32[]",
    "object": "struct{name: string}",
}
UNITS = ("s", "ms", "us", "ns")
DIGITS = re.compile(r"-?[0-9]+")
MAX_TEXT = 2**20
SHOWN = 76


def parse_schema(text: str) -> pa.Schema:
    """Read a schema's short text.

    Raises:
        Invalid: it cannot be read, with the place and what was expected there; or the schema is not supported.
    """
    reader = _Reader(text)
    fields = reader.fields()
    schema = pa.schema(fields)
    check_schema(schema, which="given")
    return schema


def parse_type(text: str) -> pa.DataType:
    """Read a type's short text.

    Raises:
        Invalid: it cannot be read, with the place and what was expected there.
    """
    return parse_field_type(text, optional=False)[0]


def parse_field_type(text: str, *, optional: bool = True) -> tuple[pa.DataType, bool]:
    """Read a type's short text and, where `optional`, the `?` after it: the type, and whether it may be null.

    Raises:
        Invalid: it cannot be read, with the place and what was expected there.
    """
    reader = _Reader(text)
    kind = reader.type(0)
    nullable = optional and reader.takes("?")
    reader.blanks(newlines=True)
    if reader.at < len(text):
        reader.fail(
            "the type ends before this",
            fix="a type alone has no '?': it belongs to a field" if reader.peek() == "?" else None,
        )
    return kind, nullable


class _Reader:
    """A parser at a position in a text."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEXT:
            raise Invalid(f"the schema's text has {len(text):,} characters", why=f"{MAX_TEXT:,} are allowed")
        self.text = text
        self.at = 0

    def fields(self) -> list[pa.Field]:
        """All fields, up to the end of the text."""
        fields: list[pa.Field] = []
        while True:
            self.blanks(newlines=True)
            if self.takes(";", newlines=True):
                continue
            if self.at == len(self.text):
                return fields
            fields.append(self.field(0, newlines=False))
            self.blanks()
            if self.at < len(self.text) and self.peek() not in ";\n":
                comma = self.peek() == ","
                fix = (
                    "fields are separated by ';'" if comma else "separate fields with ';', or put each on its own line"
                )
                self.fail("expected the end of the field", fix=fix)

    def field(self, depth: int, *, newlines: bool) -> pa.Field:
        """`name: type`, and `?` where it may be null."""
        name = self.name()
        if not self.takes(":", newlines=newlines):
            self.fail(f"expected ':' and a type after {name!r}")
        kind = self.type(depth)
        try:
            return pa.field(name, kind, nullable=self.takes("?", newlines=newlines))
        except UnicodeEncodeError:  # the same, in a name
            self.fail(f"the name {name!r} is not valid Unicode")

    def name(self) -> str:
        self.blanks(newlines=True)
        if self.peek() == '"':
            return self.quoted()
        found = IDENTIFIER.match(self.text, self.at)
        if not found:
            self.fail("expected the name of a field", fix='quote a name that is not a plain word: "house age"')
        self.at = found.end()
        return found.group()

    def quoted(self) -> str:
        try:
            value, self.at = json.JSONDecoder().raw_decode(self.text, self.at)
        except ValueError:
            self.fail("this quoted text does not end, or holds a character that JSON requires escaped")
        return str(value)

    def type(self, depth: int) -> pa.DataType:
        """An element, and the lists around it; `depth` is its nesting so far."""
        self.blanks(newlines=True)
        start = self.at
        kind = self.element(depth)
        inner = depth
        while True:
            mark = self.at
            required = self.takes("!")
            explicit = not required and self.takes("?")
            if not self.takes("["):
                if required:
                    self.fail("expected '[' after '!'", fix="'!' is for the items of a list: 'float32![29]'")
                if explicit:
                    self.at = mark  # the field's own mark
                return kind
            sizes = self.sizes()
            inner += len(sizes)
            if inner > MAX_DEPTH:
                self.fail(f"more than {MAX_DEPTH} nested lists and structs", at=start)
            for index, size in enumerate(reversed(sizes)):
                item = pa.field("item", kind, nullable=not (required and index == 0))
                kind = pa.large_list(item) if size == "large" else pa.list_(item, -1 if size is None else int(size))

    def sizes(self) -> list[int | str | None]:
        """The sizes in brackets, outermost first; None is any length."""
        sizes: list[int | str | None] = []
        while True:
            self.blanks(newlines=True)
            if self.takes("*"):
                sizes.append(None)
            elif self.text.startswith("large", self.at):
                self.at += len("large")
                sizes.append("large")
            elif self.peek() and self.peek() in ",]":
                sizes.append(None)
            else:
                sizes.append(self.number("expected a size", low=1, high=MAX_VALUES))
            if self.takes("]", newlines=True):
                return sizes
            if not self.takes(",", newlines=True):
                self.fail("expected ',' or ']' after a size")

    def element(self, depth: int) -> pa.DataType:
        start = self.at
        found = IDENTIFIER.match(self.text, self.at)
        if not found:
            self.fail("expected a type", fix="write one like float32[29], int64 or string")
        name = found.group()
        self.at = found.end()
        if name == "binary" and self.takes("("):
            width = self.number("expected the number of bytes", low=1, high=MAX_VALUES)
            self.expect(")")
            return pa.binary(width)
        if name in PRIMITIVES:
            return PRIMITIVES[name]
        if name in DECIMALS:
            return self.decimal(name)
        if name in {"timestamp", "duration"}:
            return self.instant(name)
        if name != "struct":
            self.unknown(name, start)
        return self.struct(depth, start)

    def decimal(self, name: str) -> pa.DataType:
        make, most = DECIMALS[name]
        self.expect("(", fix=f"write its digits and those after the point: {name}(10,2)")
        precision = self.number("expected the number of digits", low=1, high=most)
        self.expect(",")
        scale = self.number("expected the digits after the point", low=-128, high=127)
        self.expect(")")
        return make(precision, scale)

    def instant(self, name: str) -> pa.DataType:
        self.expect("[", fix=f"write its unit: {name}[ms]")
        self.blanks(newlines=True)
        found = IDENTIFIER.match(self.text, self.at)
        if not found or found.group() not in UNITS:
            self.fail(f"expected a unit: {', '.join(UNITS)}", fix=f"write {name}[ms]; a list of them is {name}[ms][3]")
        self.at = found.end()
        zone = None
        if name == "timestamp" and self.takes(",", newlines=True):
            zone = self.zone()
        self.expect("]")
        try:
            return pa.timestamp(found.group(), tz=zone) if name == "timestamp" else pa.duration(found.group())
        except UnicodeEncodeError:  # a lone surrogate, written with JSON's escapes
            self.fail(f"the time zone {zone!r} is not valid Unicode")

    def zone(self) -> str:
        self.blanks(newlines=True)
        if self.peek() == '"':
            return self.quoted()
        found = ZONE.match(self.text, self.at)
        if not found:
            self.fail("expected a time zone", fix="write one like UTC, Europe/Berlin or +02:00")
        self.at = found.end()
        return found.group()

    def struct(self, depth: int, start: int) -> pa.DataType:
        self.expect("{", fix="write its members: struct{text: string, at: float32[2]}")
        if depth + 1 > MAX_DEPTH:
            self.fail(f"more than {MAX_DEPTH} nested lists and structs", at=start)
        members = []
        while True:
            members.append(self.field(depth + 1, newlines=True))
            if self.takes("}", newlines=True):
                break
            if not self.takes(",", newlines=True):
                self.fail("expected ',' or '}' after a member")
        check_names([member.name for member in members], owner="a struct")
        return pa.struct(members)

    def unknown(self, name: str, start: int) -> NoReturn:
        if name in {"time", "time32", "time64"}:
            self.fail(f"{name} is not supported", at=start, fix=TIME_REFUSED)
        if name == "null":
            self.fail("null is not supported", at=start, fix="give the type of the values, and '?' if they may be null")
        close = ALIASES.get(name.lower()) or next(iter(get_close_matches(name.lower(), KNOWN, n=1)), None)
        fix = f"did you mean {close}?" if close else f"types are {', '.join(KNOWN)}"
        self.fail(f"{name!r} is not a type", at=start, fix=fix)

    def number(self, expected: str, *, low: int, high: int) -> int:
        self.blanks(newlines=True)
        found = DIGITS.match(self.text, self.at)
        if not found:
            self.fail(f"{expected}: a number")
        if len(found.group()) > 19 or not low <= int(found.group()) <= high:
            self.fail(f"{expected} from {low} to {high:,}")
        self.at = found.end()
        return int(found.group())

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def takes(self, sign: str, *, newlines: bool = False) -> bool:
        """Skip a sign and the blanks before it, if it comes next."""
        before = self.at
        self.blanks(newlines=newlines)
        if self.peek() == sign:
            self.at += 1
            return True
        self.at = before
        return False

    def expect(self, sign: str, *, fix: str | None = None) -> None:
        if not self.takes(sign, newlines=sign not in "([{"):
            self.fail(f"expected '{sign}'", fix=fix)

    def blanks(self, *, newlines: bool = False) -> None:
        blank = " \t\r\n" if newlines else " \t\r"
        while self.at < len(self.text) and self.text[self.at] in blank:
            self.at += 1

    def fail(self, what: str, *, at: int | None = None, fix: str | None = None) -> NoReturn:
        """Raise an error that shows the line, with a mark below the place."""
        place = self.at if at is None else at
        begin = self.text.rfind("\n", 0, place) + 1
        end = self.text.find("\n", place)
        line = self.text[begin : len(self.text) if end < 0 else end]
        column = place - begin
        cut = max(0, column - SHOWN // 2)
        shown = "".join(character if character.isprintable() else " " for character in line[cut : cut + SHOWN])
        number = self.text.count("\n", 0, place) + 1
        where = f"line {number}, character {column + 1}" if number > 1 else f"character {column + 1}"
        raise Invalid(what, why=f"at {where}\n    {shown}\n    {' ' * (column - cut)}^", fix=fix)
