"""What calls of a native session may take of memory, as the shapes of its graph prove it."""

import msgspec

__all__ = ["MemoryBounds"]


class MemoryBounds(msgspec.Struct, frozen=True, kw_only=True):
    """An upper bound of the memory of a call, beside the weights and the rows themselves: a sum of three parts.

    Attributes:
        call_bytes: whatever the rows are.
        row_bytes: for each row.
        element_bytes: for each element of the input, where rows differ in their shapes.
    """

    call_bytes: int = 0
    row_bytes: int = 0
    element_bytes: int = 0
