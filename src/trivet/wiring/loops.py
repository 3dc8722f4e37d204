"""Which event loop the platform's processes run on."""

import asyncio
from collections.abc import Callable

__all__ = ["event_loops"]


def event_loops() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes event loops: uvloop where it is there."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
