"""What a decoded request holds besides its batch: its own rows, to be answered as `in`."""

from typing import Protocol

import pyarrow as pa

from trivet.engine.batch import Batch

__all__ = ["Inputs"]


class Inputs(Protocol):
    """A decoded request.

    Attributes:
        batch: the columns that the model knows.
        has_more: whether there may be columns beyond those, or values that are not plainly what the schema says.
    """

    batch: Batch
    has_more: bool

    def texts(self) -> list[bytes]:
        """Each row as a JSON object, with the columns that the model does not know."""

    def column_texts(self) -> dict[str, list[bytes]]:
        """Each column's JSON values, one a row."""

    def arrays(self) -> dict[str, pa.Array]:
        """Each column as an Arrow array, with the columns that the model does not know."""
