"""The signals that end a server."""

import signal

__all__ = ["end_signals"]


def end_signals() -> list[signal.Signals]:
    """SIGINT, SIGTERM, and SIGHUP, which a terminal sends that closes; not SIGHUP where it is ignored, as `nohup` has it."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers
