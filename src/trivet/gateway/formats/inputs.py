"""A decoded request: its batch, and its own rows, which are returned as `in`."""

from typing import Protocol

from trivet.gateway.allowance import Allowance
from trivet.gateway.answer import Inputs

__all__ = ["EchoedInputs"]


class EchoedInputs(Inputs, Protocol):
    """A decoded request that can be answered with itself.

    Attributes:
        allowance: what the request may still become.
    """

    allowance: Allowance

    def text_bytes(self) -> int:
        """About how many bytes the texts of all rows have together."""

    def texts(self) -> list[bytes]:
        """Each row as a JSON object, including columns that the model does not have."""

    def column_texts(self) -> dict[str, list[bytes]]:
        """Each column's JSON values, one for each row."""
