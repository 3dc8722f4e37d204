"""How many bytes all requests of a process hold together, up to a limit."""

import threading
from types import TracebackType
from typing import Self

from trivet.errors import Overloaded, TooLarge

__all__ = ["HeldBytes", "Hold"]


class HeldBytes:
    """One count for a process: bodies that arrive, decoded requests, answers that are not read yet. Threads may share it.

    Args:
        most: bytes that may be held at once.

    Attributes:
        most: as given.
        held: at this moment.
    """

    __slots__ = ("_lock", "held", "most")

    def __init__(self, most: int = 2**62) -> None:
        self.most = most
        self.held = 0
        self._lock = threading.Lock()

    def check(self, nbytes: int, *, besides: int = 0) -> None:
        """Refuse what there is no room for, without counting it.

        Args:
            nbytes: to be held.
            besides: what the same request holds already.

        Raises:
            TooLarge: one request would hold more than all may.
            Overloaded: other requests hold too much at this moment.
        """
        held = self.held
        if held + nbytes <= self.most:
            return
        limit = f"the limit is {self.most / 2**20:g} MiB"
        if besides + nbytes > self.most:
            raise TooLarge(
                "the request needs too much memory",
                why=f"it needs {_mib(besides + nbytes)} MiB; {limit}",
                fix="send less at once, or raise TRIVET_MAX_HELD_MIB",
            )
        raise Overloaded(
            "the requests in flight hold too much memory",
            why=f"they hold {_mib(held)} MiB, and this one needs {_mib(nbytes)} MiB more; {limit}",
            fix="send it again later, send less at once, or raise TRIVET_MAX_HELD_MIB",
            reason="memory_held",
        )

    def hold(self, nbytes: int, *, besides: int = 0) -> None:
        """Count what is about to be held. Raises as `check` does."""
        with self._lock:
            if self.held + nbytes > self.most:
                self.check(nbytes, besides=besides)
            self.held += nbytes

    def add(self, nbytes: int) -> None:
        """Count what is held already, beyond the limit too; below 0, what is not held any more."""
        with self._lock:
            self.held += nbytes


class Hold:
    """What one request holds. As a `with` block it is the time in which the request holds memory.

    Args:
        held: what all requests of the process hold; by default without a limit.
    """

    __slots__ = ("_all", "_held")

    def __init__(self, held: HeldBytes | None = None) -> None:
        self._all = held or HeldBytes()
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._held:
            self._all.add(-self._held)
            self._held = 0

    def hold(self, nbytes: int) -> None:
        """Count what the request holds until its end.

        Raises:
            TooLarge, Overloaded: there is no room for it.
        """
        self._all.hold(nbytes, besides=self._held)
        self._held += nbytes

    def hold_anyway(self, nbytes: int) -> None:
        """Count what is there already, beyond the limit too."""
        self._all.add(nbytes)
        self._held += nbytes

    def give_back(self, nbytes: int) -> None:
        """Count what the request does not hold any more."""
        self._all.add(-nbytes)
        self._held -= nbytes


def _mib(nbytes: int) -> int:
    return -(-nbytes // 2**20)
