"""`trivet init`: a small working package to start from."""

import json
from enum import StrEnum
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivet.cli.options import read_example
from trivet.cli.output import show
from trivet.cli.schema import schema_lines
from trivet.domain.names import check_name
from trivet.errors import Conflict, Invalid

if TYPE_CHECKING:
    from trivet.domain.example_rows import Example

__all__ = ["init"]

USUAL_ROWS = [{"age": 31, "income": 52000.0}]
WEIGHT = 0.5


class Kind(StrEnum):
    """The kinds of packages that hold code."""

    CUSTOM = "custom"
    PYTHON = "python"


def init(
    kind: Annotated[
        Kind,
        typer.Argument(
            metavar="custom|python",
            help="'custom' loads a model from files, 'python' is one function over rows.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The model's name, and that of the new folder.", show_default=False),
    ],
    example: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Rows of your own (.json, .jsonl, .csv, .parquet or .arrow): they give the input schema and the example.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a small package that works, into a new folder.

    It passes `trivet check`, with a row and its expected answer. Existing files are never changed.

    Examples:

      trivet init custom churn --example customers.csv

      trivet init python features
    """
    from trivet.cli.starters import STARTERS
    from trivet.domain.example_rows import example_of

    check_name(name)
    values = _values(read_example(example) or example_of(USUAL_ROWS)) | {"name": name, "kind": kind.value}
    folder = Path(name)
    files = STARTERS[kind]
    try:
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(Template(text).substitute(values))
    except FileExistsError:
        raise Conflict(f"{name} exists already", fix="choose another name, or remove it") from None
    except OSError as error:
        raise Invalid(f"cannot write {error.filename}", why=error.strerror, fix="go to a folder of your own") from error
    show(f"{name}/ has {', '.join(files)}.")
    show("Next:")
    show(f"  trivet check {name}      build its environment, load it, and send its tests")
    show(f"  trivet serve {name}      serve it over HTTP")
    show(f"Then put your own code into {name}/{'model.py' if kind is Kind.CUSTOM else 'step.py'}.")


def _values(example: "Example") -> dict[str, str]:
    """What the files say about rows: the package weighs the numbers of a row."""
    import pyarrow as pa

    if not example.rows:
        raise Invalid("no row can be an example", why="each has a NaN or is too large", fix="give other rows")
    row: dict[str, Any] = example.rows[0]
    numbers = [
        field.name
        for field in example.schema
        if not field.nullable and (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    ]
    return {
        "fields": "\n".join(schema_lines(example.schema)),
        "row": json.dumps(row, ensure_ascii=False),
        "weights": json.dumps(dict.fromkeys(numbers, WEIGHT), ensure_ascii=False),
        "score": repr(float(sum(WEIGHT * row[name] for name in numbers))),
    }
