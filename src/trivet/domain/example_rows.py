"""Rows of a data file or a DataFrame as an example: a few of them, in the form that JSON requests have."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from trivet.domain.json_forms import WITHOUT_JSON, json_form
from trivet.domain.schema_of_data import as_table, schema_of_table, table_of_columns, table_of_records
from trivet.errors import Invalid, NotFound, TooLarge, Unsupported

__all__ = ["DATA_SUFFIXES", "Example", "example_of", "read_arrow_file", "read_data_file"]

DATA_SUFFIXES = (".json", ".jsonl", ".csv", ".parquet", ".arrow")
MOST_ROWS = 10
MOST_BYTES = 64 * 2**10
MOST_FILE_MIB = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """What data show of a model's input.

    Attributes:
        schema: that they suggest.
        rows: the first ones, in the form of a JSON request: `MOST_ROWS` and `MOST_BYTES` at most.
        total: how many rows the data have.
    """

    schema: pa.Schema
    rows: tuple[dict[str, Any], ...]
    total: int


def example_of(data: Any) -> Example:
    """The example in a file (a path), or in data in memory.

    Raises:
        NotFound, Unsupported, TooLarge: the file is missing, of another type, or too large.
        Invalid: the data suggest no schema.
    """
    table = read_data_file(Path(data)) if isinstance(data, str | Path) else as_table(data)
    schema = schema_of_table(table)
    rows: list[dict[str, Any]] = []
    size = 0
    for row in table.slice(0, MOST_ROWS).to_pylist():
        try:
            shown = {name: _plain(value) for name, value in row.items()}
        except ValueError:
            continue  # JSON has no NaN and no infinity
        size += len(json.dumps(shown))
        if size > MOST_BYTES:
            break
        rows.append(shown)
    return Example(schema=schema, rows=tuple(rows), total=table.num_rows)


def read_data_file(path: Path) -> pa.Table:
    """The rows of a `.json`, `.jsonl`, `.csv`, `.parquet` or `.arrow` file.

    Raises:
        NotFound: it does not exist.
        Unsupported: its suffix is another one.
        TooLarge: it has more than 256 MiB.
        Invalid: it does not hold rows.
    """
    suffix = path.suffix.lower()
    if suffix not in DATA_SUFFIXES:
        raise Unsupported(f"{path.name} is not a file of rows", fix=f"give a file that ends in {_listed()}")
    try:
        if path.stat().st_size > MOST_FILE_MIB * 2**20:
            raise TooLarge(
                f"{path.name} is larger than {MOST_FILE_MIB} MiB", fix="give fewer rows: some hundred show the types"
            )
        return _read(path, suffix)
    except FileNotFoundError:
        raise NotFound(f"file not found: {path}", fix="check the path") from None
    except OSError as error:
        raise Invalid(
            f"{path} cannot be read", why=error.strerror or str(error), fix="check its permissions"
        ) from error
    except (ValueError, RecursionError, pa.ArrowException) as error:
        raise Invalid(f"{path.name} holds no rows", why=str(error), fix="check the file's format") from error


def read_arrow_file(path: Path) -> pa.Table:
    """The rows of an Arrow IPC file, or of a stream that was written to one.

    Raises:
        FileNotFoundError, OSError: it cannot be opened.
        ArrowException: it is neither.
    """
    with pa.memory_map(str(path)) as source:
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).read_all()


def _listed() -> str:
    return f"{', '.join(DATA_SUFFIXES[:-1])} or {DATA_SUFFIXES[-1]}"


def _read(path: Path, suffix: str) -> pa.Table:
    match suffix:
        case ".csv":
            from pyarrow import csv

            # All values of a column decide its type, and an empty cell is a null, as in pandas.
            return csv.read_csv(
                path,
                read_options=csv.ReadOptions(block_size=max(path.stat().st_size, 1), use_threads=False),
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False),
            )
        case ".parquet":
            from pyarrow import parquet

            return parquet.read_table(path, use_threads=False)
        case ".arrow":
            return read_arrow_file(path)
        case ".jsonl":
            return table_of_records([json.loads(line) for line in path.read_text().splitlines() if line.strip()])
    tree = json.loads(path.read_text())
    if isinstance(tree, list):
        return table_of_records(tree)
    if not isinstance(tree, dict) or not all(isinstance(column, list | dict) for column in tree.values()):
        raise ValueError("it is neither a list of records nor an object of columns")
    # pandas writes a column as an object with the rows' labels.
    return table_of_columns({name: list(c.values()) if isinstance(c, dict) else c for name, c in tree.items()})


def _plain(value: Any) -> Any:
    """A value in the form that JSON requests have.

    Raises:
        ValueError: it is a number that JSON does not have.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that JSON does not have")
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return json_form(value) if isinstance(value, WITHOUT_JSON) else value
