"""Which rows share a call of a model, and what is known about that."""

from typing import Final, Literal, TypeAlias, get_args

import msgspec

__all__ = ["BATCHINGS", "NOT_COMPARED", "Batching", "Independence"]

Batching: TypeAlias = Literal["single", "whole", "joined"]
"""`single`: each row is a call. `whole`: each request is one. `joined`: requests share calls, and large ones may be cut."""

BATCHINGS: Final[tuple[str, ...]] = get_args(Batching)


class Independence(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the answer to a row is the same whatever rows are beside it.

    Attributes:
        proved: whether it was for all rows that were tried.
        reason: what was found, as a clause: "the model answers at random".
    """

    proved: bool
    reason: str


NOT_COMPARED: Final = Independence(
    proved=False, reason="it was loaded by a release that did not compare rows; upload it again to have them compared"
)
