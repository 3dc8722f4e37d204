"""A platform that runs from a home, seen from other processes: its addresses, its stop, and the reload of its credentials."""

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from trivet.errors import NotFound, Unavailable
from trivet.wiring.home_lock import is_locked, locked_by
from trivet.wiring.reloading import RELOADS, request_reload

__all__ = ["PlatformInfo", "read_platform", "reload_platform", "stop_platform"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformInfo:
    """A running platform.

    Attributes:
        pid: of the parent.
        control_url: of the control API.
        infer_url: of the gateway.
    """

    pid: int
    control_url: str
    infer_url: str


def read_platform(home: Path) -> PlatformInfo | None:
    """The platform that runs from a home, or None."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if is_locked(home):
            return PlatformInfo(**json.loads((home / "run" / "platform.json").read_text()))
    return None


def stop_platform(home: Path, *, within_s: float) -> bool:
    """Stop the platform of a home, and wait for its end.

    Returns:
        Whether one was running.

    Raises:
        Unavailable: it did not end in time.
    """
    if not is_locked(home):
        return False
    pid = locked_by(home)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + within_s
    while is_locked(home):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the platform (pid {pid}) has not ended within {within_s:g} s",
                why="requests in flight are answered first",
                fix="wait, or run `trivet down` again: a second signal cuts them off",
            )
        time.sleep(0.02)
    return True


def reload_platform(home: Path) -> None:
    """Have the platform of a home read its certificate and token again.

    Raises:
        NotFound: no platform runs from it.
        Invalid, Unavailable: as for `request_reload`.
    """
    if not is_locked(home):
        raise NotFound(f"no platform runs from {home}", fix="start it: `trivet up`")
    request_reload(locked_by(home), home / "run" / RELOADS)
