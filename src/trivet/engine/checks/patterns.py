"""The size of a regular expression, counted before it is compiled.

The regex engine takes time linear in the text, but each byte may take a time linear in the pattern: about 10 ns for each
position, where a counted repetition repeats the positions inside it. Source: regex-syntax, which polars uses.
"""

import re
from typing import Final

from trivet.errors import Invalid, TooLarge

__all__ = ["MOST_POSITIONS", "positions"]

MOST_POSITIONS: Final = 1000
"""In one pattern. It compiles in a few milliseconds and takes at most 10 µs for each byte of text."""

_CLASS: Final = 3
"""A class has several states for each position, because a character has up to four bytes."""

_COUNT = re.compile(r"\{\s*(\d*)\s*(?:(,)\s*(\d*)\s*)?\}")
_NAMED = re.compile(
    r"\\(?:[pPxuU]\{[^}]*\}|[pP].|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|b\{[a-z-]+\}|.)", re.DOTALL
)
_CLASS_START = re.compile(r"\^?-*\]?")
"""After an opening bracket, these are plain characters."""
_GROUP = re.compile(r"\(\?(?:P?<[^>]*>|([a-zA-Z-]*)([:)]))")


def positions(pattern: str) -> int:
    """How many positions a pattern has once its counted repetitions are written out.

    Raises:
        Invalid: it is not a regular expression, or is in verbose mode.
        TooLarge: there are too many.
    """
    # Of each open group: the positions of its finished items, and of the last item.
    groups: list[list[int]] = [[0, 0]]
    total = 0
    factor = 1
    at = 0
    while at < len(pattern):
        sign = pattern[at]
        if sign == "\\":
            at = _item(groups, _NAMED.match(pattern, at), pattern, _CLASS)
            total += _CLASS
        elif sign == "[":
            at = _after_class(pattern, at)
            _add(groups, _CLASS)
            total += _CLASS
        elif sign == "(":
            before = len(groups)
            flags, at = _open(groups, pattern, at)
            total += len(groups) - before
            factor = 2 if "i" in flags else factor
        elif sign == ")":
            if len(groups) == 1:
                raise _invalid(pattern, "a group is closed that was not opened")
            _add(groups, sum(groups.pop()))
            at += 1
        elif sign == "{":
            counted = _COUNT.match(pattern, at)
            if counted is None:
                raise _invalid(pattern, "a repetition is not a number")
            times = max(int(number[:9] or 1) for number in (counted[1], counted[3] or "1")) or 1
            total += groups[-1][1] * (times - 1)
            groups[-1][1] *= times
            at = counted.end()
        else:
            if sign not in "*+?":
                size = _CLASS if sign == "." else 1
                _add(groups, size)
                total += size
            at += 1
        if total * factor > MOST_POSITIONS:
            raise TooLarge(
                f"the pattern {pattern[:40]!r} is too large",
                why=f"it has more than {MOST_POSITIONS} positions when its repetitions are written out",
                fix="use + or * where the number of repetitions does not matter",
            )
    if len(groups) > 1:
        raise _invalid(pattern, "a group is not closed")
    return total * factor


def _item(groups: list[list[int]], found: re.Match[str] | None, pattern: str, size: int) -> int:
    if found is None:
        raise _invalid(pattern, "it ends in a backslash")
    _add(groups, size)
    return found.end()


def _open(groups: list[list[int]], pattern: str, at: int) -> tuple[str, int]:
    """Open a group, or set flags: `(?i)` has no group. Returns its flags, and where its content begins."""
    opening = _GROUP.match(pattern, at)
    flags = opening[1] or "" if opening else ""
    if "x" in flags:
        raise _invalid(pattern, "verbose mode is not supported")
    if opening is None or opening[2] != ")":
        groups.append([1, 0])
    return flags, opening.end() if opening else at + 1


def _add(groups: list[list[int]], size: int) -> None:
    groups[-1][0] += groups[-1][1]
    groups[-1][1] = size


def _after_class(pattern: str, at: int) -> int:
    """Where a class in brackets ends; classes may hold classes."""
    depth = 0
    while at < len(pattern):
        sign = pattern[at]
        if sign == "\\":
            at += 2
            continue
        at += 1
        if sign == "[":
            depth += 1
            start = _CLASS_START.match(pattern, at)
            at = start.end() if start else at
        elif sign == "]":
            depth -= 1
            if depth == 0:
                return at
    raise _invalid(pattern, "a class is not closed")


def _invalid(pattern: str, why: str) -> Invalid:
    return Invalid(
        f"the pattern {pattern[:40]!r} is invalid",
        why=why,
        fix="write a regular expression as Rust's regex crate reads it",
        reason="bad_expression",
    )
