"""HTML tables for notebooks, and the reference's way of writing a time."""

import html
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

__all__ = ["grid", "rows", "shown_time"]


def rows(values: Mapping[str, Any]) -> str:
    """A table with a row for each value."""
    body = "".join(f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in values.items())
    return f"<table><tr><th>Field</th><th>Value</th></tr>{body}</table>"


def grid(found: Iterable[Mapping[str, Any]], *, empty: str) -> str:
    """A table with a row for each thing, or what is said where there is none."""
    things = list(found)
    if not things:
        return _text(empty)
    head = "".join(f"<th>{_text(name)}</th>" for name in things[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(value)}</td>" for value in thing.values()) + "</tr>" for thing in things
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def shown_time(moment: datetime) -> str:
    """`2024-22-Jul 20:45:56`, as the reference has it."""
    return moment.strftime("%Y-%d-%b %H:%M:%S")


def _text(value: Any) -> str:
    return html.escape(str(value))
