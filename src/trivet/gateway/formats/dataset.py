"""The requested form of an answer: `dataset[]`, `dataset.exclude[]`, `dataset.flatten`, `on_error`."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import parse_qsl

from trivet.errors import Invalid

__all__ = ["ALL_PARTS", "Selection", "parse_selection"]

ALL_PARTS = ("time", "in", "out", "anomaly", "metadata")


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice of parts and columns.

    Attributes:
        parts: the requested parts, in the order of answers.
        columns: dotted columns that are requested without the rest of their part: `{"out.dense_1"}`.
        excluded: dotted columns to leave out.
        flatten: `in.tensor` as one key instead of one object in another.
        by_row: answer rows that fail with an error of their own, beside the others.
    """

    parts: tuple[str, ...] = ALL_PARTS
    columns: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    flatten: bool = False
    by_row: bool = False

    @property
    def is_plain(self) -> bool:
        """Whole parts only, nested."""
        return not (self.columns or self.excluded or self.flatten)

    def includes(self, part: str, column: str) -> bool:
        """Whether a column of a part is in the answer."""
        name = f"{part}.{column}"
        return name not in self.excluded and (part in self.parts or name in self.columns)

    def touches(self, part: str) -> bool:
        """Whether a part may be in the answer."""
        return part in self.parts or any(column.startswith(f"{part}.") for column in self.columns)


EVERYTHING = Selection()
METADATA = ("last_model", "pipeline_version", "elapsed", "dropped", "partition")


def check_columns(selection: Selection, *, outputs: Iterable[str], checks: Iterable[str]) -> None:
    """Refuse columns that no answer has. A request's columns may have any name, so `in.*` is not checked.

    Raises:
        Invalid: there is one; the error proposes the nearest name.
    """
    known = [f"out.{name}" for name in outputs]
    known += ["anomaly.count", *(f"anomaly.{name}" for name in checks), *(f"metadata.{name}" for name in METADATA)]
    for name in sorted(selection.columns):
        if name in known or name.startswith("in."):
            continue
        close = get_close_matches(name, known, n=1)
        same = [each for each in known if each.partition(".")[0] == name.partition(".")[0]]
        fix = f"did you mean {close[0]}?" if close else f"there are {', '.join(same)}"
        raise Invalid(f"the answer has no column {name!r}", fix=fix, path="dataset[]")


def parse_selection(query: bytes) -> Selection:
    """Read the query string of a request.

    Raises:
        Invalid: an unknown part or parameter, or bytes that are not text.
    """
    if not query:
        return EVERYTHING
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except (ValueError, UnicodeDecodeError) as error:
        raise Invalid("the query string cannot be read", why=str(error)) from error
    wanted: list[str] = []
    unwanted: list[str] = []
    flatten = by_row = False
    for key, value in pairs:
        match key:
            case "dataset[]" | "dataset":
                wanted.extend(_names(value))
            case "dataset.exclude[]" | "dataset.exclude" | "dataset_exclude[]":
                unwanted.extend(_names(value))
            case "dataset.flatten":
                flatten = _flag(value)
            case "on_error":
                by_row = _nulls_failed(value)
            case _:
                raise Invalid(
                    f"unknown query parameter {key!r}",
                    fix="use dataset[], dataset.exclude[], dataset.flatten or on_error",
                )
    chosen = {name for name in wanted if name in ALL_PARTS}
    if "*" in wanted or not wanted:
        chosen = set(ALL_PARTS)
    return Selection(
        parts=tuple(part for part in ALL_PARTS if part in chosen and part not in unwanted),
        columns=frozenset(name for name in wanted if "." in name),
        excluded=frozenset(name for name in unwanted if "." in name),
        flatten=flatten,
        by_row=by_row,
    )


def _names(value: str) -> list[str]:
    names = [name.strip() for name in value.split(",")]
    for name in names:
        part = name.partition(".")[0]
        if name != "*" and part not in ALL_PARTS:
            raise Invalid(
                f"unknown dataset {name!r}",
                fix=f"use *, {', '.join(ALL_PARTS)}, or a column of one of them, such as out.variable",
            )
    return names


def _flag(value: str) -> bool:
    match value.lower():
        case "true" | "1" | "":
            return True
        case "false" | "0":
            return False
    raise Invalid(f"dataset.flatten is {value!r}", fix="send true or false")


def _nulls_failed(value: str) -> bool:
    if value not in ("raise", "null"):
        raise Invalid(f"on_error is {value!r}", fix="send raise, or null for an error in each row that fails")
    return value == "null"
