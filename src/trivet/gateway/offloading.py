"""Runs what takes long in a thread, so that other requests go on meanwhile."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

__all__ = ["offloaded"]

ResultT = TypeVar("ResultT")


async def offloaded(function: Callable[[], ResultT]) -> ResultT:
    """Run something in a thread. If this is cancelled, it does not start; once it runs, this waits for its end, because until
    then its memory is held.
    """
    running = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if not running.cancel():
            await asyncio.wait([running])
        raise
    finally:
        # An error of the function refers to this frame: without the name there is no cycle that keeps the request's memory.
        del running
