"""`trivet schema`: the schema of a file's rows."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trivet.cli.output import show

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["schema", "schema_lines"]

PLAIN = re.compile(r"[A-Za-z_][\w\[\](),?!*]*", re.ASCII)
WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def schema(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A .json, .jsonl, .csv, .parquet or .arrow file.", show_default=False),
    ],
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print lines for trivet.yaml, with an example row.")] = False,
) -> None:
    """Print the schema that a file of rows suggests.

    Types are exact. A column may be null (`?`) only if it has nulls, and lists of numbers that have one length in all rows get a fixed size.

    Examples:

      trivet schema rows.csv

      trivet schema rows.parquet --yaml >> trivet.yaml
    """
    from trivet.domain.example_rows import example_of
    from trivet.domain.schema import format_schema

    example = example_of(file)
    if not as_yaml:
        show(format_schema(example.schema))
        return
    show("input_schema:")
    for line in schema_lines(example.schema):
        show(line)
    for row in example.rows[:1]:
        # JSON is YAML, too.
        show(f"example:\n  - {json.dumps(row, ensure_ascii=False)}")


def schema_lines(schema: "pa.Schema") -> list[str]:
    """A schema's fields as lines for `trivet.yaml`, below `input_schema:`."""
    from trivet.domain.schema import format_field

    return [f"  {_plain(field.name)}: {_plain(format_field(field))}" for field in schema]


def _plain(text: str) -> str:
    """A YAML text, quoted only where it must be."""
    needs_no_quotes = PLAIN.fullmatch(text) and text.lower() not in WORDS
    return text if needs_no_quotes else json.dumps(text, ensure_ascii=False)
