"""Schemas: the columns of a row. They are Arrow schemas, and users write them as a short text.

`tensor: float32[29]; name: string?` are two fields. A field is required unless `?` follows its type; the items of a list may
be null unless `!` follows theirs. `schema_text` has the grammar, `schema_rules` the allowed types, `schema_files` the files.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from trivet.domain.schema_files import FILE_SUFFIXES, read_schema_file, schema_of_tree
from trivet.domain.schema_format import format_field, format_schema, format_type
from trivet.domain.schema_rules import check_schema
from trivet.domain.schema_text import parse_schema, parse_type
from trivet.errors import Invalid

__all__ = [
    "check_schema",
    "format_field",
    "format_schema",
    "format_type",
    "load_schema",
    "parse_schema",
    "parse_type",
    "schema_from_tree",
]


def load_schema(source: str | Path, *, which: str) -> pa.Schema:
    """A schema from a file, or from its short text.

    Args:
        source: a path; a text that ends in `.json`, `.yaml`, `.yml`, `.arrow`, `.ipc` or `.txt` is one too.
            Any other text is the schema itself.
        which: `input` or `output`, for messages.

    Raises:
        NotFound: the file does not exist.
        Invalid: it is not a schema, or is not supported.
    """
    path = Path(source)
    with_file = isinstance(source, Path) or ("\n" not in source and path.suffix.lower() in FILE_SUFFIXES)
    if not with_file and ":" not in str(source):
        raise Invalid(
            f"the {which} schema {str(source)[:80]!r} is neither fields nor a file",
            why="a field has a name, a colon and a type, and a file ends in " + ", ".join(FILE_SUFFIXES),
            fix="write it like 'tensor: float32[29]; name: string'",
        )
    try:
        schema = read_schema_file(path) if with_file else parse_schema(str(source))
    except Invalid as error:
        raise _named(error, which, str(path) if with_file else None) from error
    return _finished(schema, which)


def schema_from_tree(tree: Any, *, which: str) -> pa.Schema:
    """A schema from a JSON or YAML document: a text, a mapping of names to types, or a list of fields.

    Raises:
        Invalid: it is not a schema, or is not supported.
    """
    try:
        schema = schema_of_tree(tree)
    except Invalid as error:
        raise _named(error, which, None) from error
    return _finished(schema, which)


def _finished(schema: pa.Schema, which: str) -> pa.Schema:
    """Checked, and without metadata and names of list items."""
    check_schema(schema, which=which)
    return parse_schema(format_schema(schema))


def _named(error: Invalid, which: str, path: str | None) -> Invalid:
    where = f"{path}: {error.path}" if path and error.path else path or error.path
    return Invalid(f"the {which} schema cannot be read: {error.what}", why=error.why, fix=error.fix, path=where)
