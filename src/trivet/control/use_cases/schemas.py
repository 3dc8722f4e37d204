"""Schemas in requests."""

import re

import pyarrow as pa

from trivet.domain.encoding import schema_from_text
from trivet.domain.frameworks import Framework
from trivet.domain.schema import check_schema, format_schema, schema_from_tree
from trivet.errors import Invalid

__all__ = ["read_rows", "read_schema"]


def read_rows(
    text: str | None, *, framework: Framework, allow_nulls: bool | None
) -> tuple[pa.Schema | None, bool | None]:
    """The input schema of a version, and whether the version allows nulls; None where its framework has no such rule.

    A Python step refuses nulls if its schema is pyarrow's, whose fields are nullable by default.

    Raises:
        Invalid: it is not a schema.
    """
    schema = read_schema(text, which="input")
    if text is None or schema is None or framework is not Framework.PYTHON:
        return schema, None
    allowed = _is_typed(text) if allow_nulls is None else allow_nulls
    return schema if allowed else pa.schema([field.with_nullable(False) for field in schema]), allowed


def _is_typed(text: str) -> bool:
    """Whether the schema is a text that a person wrote, not base64 of its IPC form."""
    try:
        schema_from_text(text)
    except (ValueError, pa.ArrowException, OSError):
        return True
    return False


def read_schema(text: str | None, *, which: str) -> pa.Schema | None:
    """A schema from base64 of its IPC form, or from the short text.

    Raises:
        Invalid: it is neither of them.
    """
    if text is None:
        return None
    try:
        schema = schema_from_text(text)
    except (ValueError, pa.ArrowException, OSError):
        if not re.search(r"[:;]", text):
            raise Invalid(
                f"the {which} schema is neither base64 of an Arrow schema nor a text",
                fix="send base64 of schema.serialize(), or 'field: float32[29]; other: string'",
                path=f"{which}_schema",
            ) from None
        return schema_from_tree(text, which=which)
    check_schema(schema, which=which)
    # Without what Arrow keeps besides types: metadata, names of list items.
    return schema_from_tree(format_schema(schema), which=which)
