"""The signals that end a server, and a wait that a signal ends."""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

__all__ = ["end_signals", "wait_for_signal", "waking_signals"]


def end_signals() -> list[signal.Signals]:
    """SIGINT, SIGTERM, and SIGHUP, which a terminal sends that closes; not SIGHUP where it is ignored, as `nohup` has it."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


@contextlib.contextmanager
def waking_signals(handlers: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[int]:
    """Handle signals for the length of a `with` block. Gives a descriptor that becomes readable on each of them."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    before = {number: signal.signal(number, _calling(handle)) for number, handle in handlers.items()}
    old = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)


def _calling(handle: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
    return lambda _number, _frame: handle()


def wait_for_signal(wake: int, seconds: float) -> None:
    """Sleep until a signal or a time limit."""
    if select.select([wake], [], [], max(0.0, seconds))[0]:
        with contextlib.suppress(BlockingIOError):
            os.read(wake, 4096)
