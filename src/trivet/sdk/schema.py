"""Schemas from data and from type hints."""

import inspect
from typing import Any

import pyarrow as pa

from trivet.domain.example_rows import example_of
from trivet.domain.schema import parse_schema
from trivet.domain.schema_of_hints import schema_of_hints

__all__ = ["Schema"]


class Schema:
    """Makes schemas for `upload_model`; they are pyarrow schemas."""

    @staticmethod
    def of(source: Any) -> pa.Schema:
        """The schema that data, a file of rows, or type hints suggest.

        A column is nullable only if it has nulls. Lists of numbers that have the same length in all rows get it as their fixed
        size. Integers and floats keep their sizes; those of JSON and CSV are `int64` and `float64`.

        Args:
            source: a DataFrame of pandas or polars, a pyarrow Table, a dict of numpy arrays, a list of records; the path of a
                `.json`, `.jsonl`, `.csv`, `.parquet` or `.arrow` file; a function, dataclass or TypedDict with type hints.

        Raises:
            Invalid: a column holds values of several types or none, or has no type in schemas.
            NotFound, Unsupported, TooLarge: the file is missing, of another type, or too large.

        Example:
            `client.upload_model("churn", "churn/", input_schema=Schema.of(df), output_schema=Schema.parse("p: float64"))`
        """
        return schema_of_hints(source) if _has_hints(source) else example_of(source).schema

    @staticmethod
    def parse(text: str) -> pa.Schema:
        """The schema of a short text, such as `tensor: float32[29]; name: string?`.

        Raises:
            Invalid: it cannot be read, with the place.
        """
        return parse_schema(text)


def _has_hints(source: Any) -> bool:
    return inspect.isclass(source) or inspect.isroutine(source)
