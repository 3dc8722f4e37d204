"""Which rows share a call of a model."""

from typing import Final, Literal, TypeAlias, get_args

__all__ = ["BATCHINGS", "Batching"]

Batching: TypeAlias = Literal["single", "whole", "joined"]
"""`single`: each row is a call. `whole`: each request is one. `joined`: requests share calls, and large ones may be cut."""

BATCHINGS: Final[tuple[str, ...]] = get_args(Batching)
