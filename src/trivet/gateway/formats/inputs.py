"""What a decoded request holds besides its batch: its own rows, to be answered as `in`."""

from typing import Protocol

from trivet.gateway.answer import Inputs

__all__ = ["EchoedInputs"]


class EchoedInputs(Inputs, Protocol):
    """A decoded request that can be answered with itself."""

    def texts(self) -> list[bytes]:
        """Each row as a JSON object, with the columns that the model does not know."""

    def column_texts(self) -> dict[str, list[bytes]]:
        """Each column's JSON values, one a row."""
