"""Whether the code of a model may use the network."""

from typing import Final, Literal, TypeAlias, get_args

__all__ = ["NETWORKS", "NetworkUse"]

NetworkUse: TypeAlias = Literal["full", "none"]
"""`none`: its processes make no sockets but Unix sockets. `full`: what the operator allows all models."""

NETWORKS: Final[tuple[str, ...]] = get_args(NetworkUse)
