"""A decoded request: its batch, and its own rows, which are returned as `in`."""

from typing import Protocol

from trivet.gateway.answer import Inputs

__all__ = ["EchoedInputs"]


class EchoedInputs(Inputs, Protocol):
    """A decoded request that can be answered with itself."""

    def texts(self) -> list[bytes]:
        """Each row as a JSON object, including columns that the model does not have."""

    def column_texts(self) -> dict[str, list[bytes]]:
        """Each column's JSON values, one for each row."""
