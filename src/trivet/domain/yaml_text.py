"""Reads YAML 1.2 with its core schema, without aliases and tags.

`no` and `on` are texts, `1e-5` is a number, `2014-10-13` and `12:30` are texts, and a key may occur once. Aliases are refused
because a small file with them can become huge.
"""

import re
from typing import Any

from trivet.errors import Invalid

__all__ = ["read_yaml"]

MAX_NESTING = 64
INTEGER = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
CORE_TAGS = {"!", "tag:yaml.org,2002:str"}


def read_yaml(data: str | bytes) -> Any:
    """The content of a YAML document: dicts with text keys, lists, texts, numbers, booleans, None.

    Args:
        data: the document; bytes are UTF-8 or UTF-16 with a byte order mark.

    Raises:
        Invalid: it is not valid YAML, or uses aliases or tags; `path` is the line.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _build(yaml, yaml.parse(data, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = " ".join(part for part in (error.context, error.problem) if part) or None
        raise Invalid("not valid YAML", why=why, path=f"line {mark.line + 1}" if mark else None) from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise Invalid("not valid YAML", why=str(error)) from error


def _build(yaml: Any, events: Any) -> Any:
    """Build values from events, one at a time, so that depth and aliases are checked before anything is built."""
    documents: list[Any] = []
    stack: list[_Open] = []
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise _refused(event, "aliases are not supported", "write the value out where it is used")
        if isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            if event.tag is not None:
                raise _refused(event, f"the tag {event.tag!r} is not supported", "remove it")
            if len(stack) == MAX_NESTING:
                raise _refused(event, f"more than {MAX_NESTING} nested lists and mappings", None)
            stack.append(_Open({} if isinstance(event, yaml.MappingStartEvent) else [], event))
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            done = stack.pop()
            _place(documents, stack, done.value, done.start)
        elif isinstance(event, yaml.ScalarEvent):
            _place(documents, stack, _scalar(event), event)
    if len(documents) > 1:
        raise Invalid("the file holds several YAML documents", fix="keep one")
    return documents[0] if documents else None


class _Open:
    """A list or mapping that has not ended yet."""

    def __init__(self, value: Any, start: Any) -> None:
        self.value = value
        self.start = start
        self.key: str | None = None


def _place(documents: list[Any], stack: list[_Open], value: Any, event: Any) -> None:
    if not stack:
        documents.append(value)
        return
    top = stack[-1]
    if isinstance(top.value, list):
        top.value.append(value)
    elif top.key is not None:
        top.value[top.key] = value
        top.key = None
    else:
        top.key = _key(value, event)
        if top.key in top.value:
            raise _refused(event, f"the key {top.key!r} occurs twice", "keep one")


def _key(value: Any, event: Any) -> str:
    """Keys are texts: `1: x` and `true: x` mean the words."""
    if isinstance(value, (list, dict)):
        raise _refused(event, "a key must be a text", None)
    return str(event.value)


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.tag not in {None, *CORE_TAGS}:
        raise _refused(event, f"the tag {event.tag!r} is not supported", "remove it")
    if event.style or event.tag is not None:  # in quotes, or a block of text
        return text
    if text in WORDS:
        return WORDS[text]
    try:
        if INTEGER.fullmatch(text):
            return int(text)
        return float(text) if NUMBER.fullmatch(text) else text
    except ValueError as error:  # more digits than Python reads
        raise _refused(event, str(error), None) from error


def _refused(event: Any, what: str, fix: str | None) -> Invalid:
    return Invalid(what, fix=fix, path=f"line {event.start_mark.line + 1}")
