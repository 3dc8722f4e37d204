"""An input that costs more than it looks like, what becomes of it, and what that may cost."""

import resource
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pyarrow as pa

__all__ = ["MIB", "Hostile", "Kind", "within_bounds"]

Kind: TypeAlias = Literal["arrow", "json", "compressed", "onnx", "zip", "yaml", "validation"]

MIB = 2**20
MOST_TIMES = 100


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One entry of the corpus.

    Attributes:
        kind: what reads it.
        name: what is hostile in it; unique in its kind.
        make: makes the input.
        outcome: the status of the answer, or a part of the reason of the refusal.
        most_bytes: what may be held while it is read, if that is more than a hundred times the input.
        most_s: seconds of this process's CPU time.
        about: what else its suite needs to send it.
    """

    kind: Kind
    name: str
    make: Callable[[], Any]
    outcome: int | str
    most_bytes: int = 64 * MIB
    most_s: float = 10.0
    about: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


@contextmanager
def within_bounds(hostile: Hostile, *, size: int) -> Iterator[None]:
    """A block that holds no more and takes no longer than an input of so many bytes may.

    Python, numpy and Arrow count each byte; what other libraries hold shows in the largest size that the process ever had.
    """
    most = max(MOST_TIMES * size, hostile.most_bytes)
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    before, started = largest(), time.process_time()
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        yield
        held = tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0)
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)
    took_s, more = time.process_time() - started, largest() - before
    assert held <= most, f"{hostile} holds {held / MIB:.0f} MiB"
    assert more <= most, f"the process grows by {more / MIB:.0f} MiB with {hostile}"
    assert took_s < hostile.most_s, f"{hostile} takes {took_s:.1f} s"


def largest() -> int:
    """The largest size that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
