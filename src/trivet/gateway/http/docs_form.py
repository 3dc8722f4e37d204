"""The form of a pipeline on the page of documentation: a field for each column of a row, and a place to drop a file of rows."""

import html
import json
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from trivet.domain.schema import format_type

__all__ = ["form_of", "type_text"]

FORM = """<form data-path="{path}" autocomplete="off">
<h2>Try it</h2>
<table>{fields}</table>
<p><button>Send the row</button></p>
<p class="drop">Or drop a file of rows here: <input type="file" accept=".json,.csv,.arrow,.arrows,.feather" aria-label="file of rows">
<br><small>JSON records, CSV with a row of names, or Arrow.</small></p>
<div class="answer" role="status"></div>
</form>
"""
# A larger example would make the page slow, and few would edit it.
LONGEST_VALUE = 4000
LONGEST_LINE = 60

Kind: TypeAlias = Literal["integer", "number", "boolean", "time", "text", "json"]


def form_of(schema: pa.Schema, example: dict[str, Any], *, path: str) -> str:
    """The HTML of a pipeline's form.

    Args:
        schema: of its inputs.
        example: a row that it takes, as it is in JSON.
        path: where it takes rows, on this server.
    """
    fields = (_field(field, example[field.name], index) for index, field in enumerate(schema))
    return FORM.format(path=html.escape(path), fields="".join(fields))


def type_text(field: pa.Field) -> str:
    """A field's type as schemas are written; `?` marks one that may be null."""
    return format_type(field.type) + ("?" if field.nullable else "")


def _field(field: pa.Field, value: Any, index: int) -> str:
    kind = _kind(field.type)
    text = value if kind in ("text", "time") and isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if value is None or len(text) > LONGEST_VALUE:
        text = ""
    name = html.escape(field.name)
    marks = f'data-field="{name}" data-kind="{kind}" aria-label="{name}"{" data-nullable" if field.nullable else ""}'
    if field.nullable and value is None:
        marks += " disabled"
    if kind == "boolean":
        options = "".join(f"<option{' selected' if text == each else ''}>{each}</option>" for each in ("false", "true"))
        control = f"<select {marks}>{options}</select>"
    elif kind == "json" or len(text) > LONGEST_LINE:
        # The first line break after the tag is not part of the value.
        control = f'<textarea {marks} rows="3" spellcheck="false">\n{html.escape(text)}</textarea>'
    else:
        control = f'<input {marks} spellcheck="false" value="{html.escape(text)}">'
    null = ""
    if field.nullable:
        null = f' <label><input type="checkbox" data-null="{index}"{" checked" if value is None else ""}> null</label>'
    typed = html.escape(type_text(field))
    return f"<tr><td><code>{name}</code></td><td>{control}{null}</td><td><code>{typed}</code></td></tr>\n"


def _kind(kind: pa.DataType) -> Kind:
    """How a typed value becomes JSON."""
    if pa.types.is_nested(kind):
        return "json"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_duration(kind):
        return "number"
    return "time" if pa.types.is_timestamp(kind) else "text"
