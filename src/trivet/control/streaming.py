"""A request's body for a thread that reads it in pieces, and these threads."""

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from trivet.errors import DeadlineExceeded, Invalid

__all__ = ["UploadThreads", "broken_off", "pieces_of"]

T = TypeVar("T")
MOST_AT_ONCE = 64
STALL_S = 60.0


def broken_off() -> Invalid:
    """The client disconnected in the middle of its body."""
    return Invalid(
        "the upload broke off", why="the connection ended before the body did", fix="send it again", reason="broken_off"
    )


async def pieces_of(request: Request, *, stall_s: float) -> AsyncIterator[bytes]:
    """A body in pieces, as they arrive; only one piece is in memory.

    Raises:
        Invalid: the client disconnected.
        DeadlineExceeded: nothing arrived for `stall_s` seconds.
    """
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(stall_s):
                piece = await anext(stream, None)
        except TimeoutError:
            raise DeadlineExceeded(
                f"no part of the body arrived for {stall_s:g} s", fix="send it again", reason="stalled"
            ) from None
        except ClientDisconnect:
            raise broken_off() from None
        if piece is None:
            return
        if piece:
            yield piece


class UploadThreads:
    """Threads for uploads only, so that slow uploads delay nothing but other uploads.

    Args:
        most_at_once: uploads that are received at the same time; others wait.
        stall_s: how long an upload may pause.
    """

    def __init__(self, *, most_at_once: int = MOST_AT_ONCE, stall_s: float = STALL_S) -> None:
        self.stall_s = stall_s
        self._threads = concurrent.futures.ThreadPoolExecutor(most_at_once, thread_name_prefix="upload")

    async def run(self, work: Callable[[], T]) -> T:
        """Run something that blocks."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def feed(self, request: Request, take: Callable[[Iterator[bytes]], T]) -> T:
        """Have a thread receive a request's body. If this is cancelled, the thread sees the body break off."""
        body = _Body(pieces_of(request, stall_s=self.stall_s), asyncio.get_running_loop())
        try:
            return await self.run(lambda: take(iter(body)))
        except asyncio.CancelledError:
            body.cut()
            raise

    def close(self) -> None:
        """Receive no more uploads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Body:
    """Pieces that an event loop reads, for a thread."""

    def __init__(self, pieces: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._pieces = pieces
        self._loop = loop
        self._waiting: concurrent.futures.Future[bytes | None] | None = None
        self._is_cut = False

    def __iter__(self) -> Iterator[bytes]:
        while not self._is_cut:
            piece_to_come = self._next()
            try:
                self._waiting = asyncio.run_coroutine_threadsafe(piece_to_come, self._loop)
                piece = self._waiting.result()
            except concurrent.futures.CancelledError:
                break
            except RuntimeError:
                # The loop is closed already, and does not have it.
                piece_to_come.close()
                break
            if piece is None:
                return
            yield piece
        raise broken_off()

    async def _next(self) -> bytes | None:
        return await anext(self._pieces, None)

    def cut(self) -> None:
        """End the thread's wait."""
        self._is_cut = True
        if self._waiting is not None:
            self._waiting.cancel()
