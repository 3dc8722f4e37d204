"""What models and pipelines need of the client that made them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from trivet.sdk.calls import AsyncDriver, Operation

if TYPE_CHECKING:
    import httpx

__all__ = ["Platform"]

T = TypeVar("T")


class Platform(Protocol):
    """A platform that can be asked.

    Attributes:
        say: tells the user how far something is.
    """

    say: Callable[[str], None]

    def run(self, operation: Operation[T]) -> T:
        """Carry an operation out."""

    def async_driver(self, http: "httpx.AsyncClient") -> AsyncDriver:
        """What carries operations out for a program with an event loop."""

    def async_http(self, connections: int) -> "httpx.AsyncClient":
        """Connections for such a program."""
