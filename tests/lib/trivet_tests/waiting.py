"""Waiting for what another process does: until it holds, and no longer than a guard against hangs."""

import time
from collections.abc import Callable
from typing import Any

WITHIN_S = 60.0
"""Far longer than anything takes on a busy machine: it ends a test that would hang, and measures nothing."""


def eventually(check: Callable[[], Any], what: object = None, *, within_s: float = WITHIN_S) -> Any:
    """Ask until the answer is truthy; gives that answer. A callable `what` is asked for words when time is up."""
    deadline = time.monotonic() + within_s
    while not (found := check()):
        if time.monotonic() > deadline:
            words = what() if callable(what) else what
            raise AssertionError(f"still {found!r} after {within_s} s: {words or check}")
        time.sleep(0.02)
    return found
