"""A model's example rows as batches."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.errors import Invalid, TrivetError
from trivet.gateway.formats.records import RecordsDecoder

__all__ = ["example_maker"]


def example_maker(rows: Sequence[dict[str, Any]]) -> Callable[[pa.Schema], Batch] | None:
    """A function that turns example rows into a batch under a schema, or raises Invalid; None if there are no rows."""
    if not rows:
        return None

    def make(schema: pa.Schema) -> Batch:
        try:
            return RecordsDecoder(schema).decode(msgspec.json.encode(rows)).batch
        except TrivetError as error:
            raise Invalid(
                "the example rows do not fit the input schema", why=error.message, fix=error.fix, path=error.path
            ) from error

    return make
