"""The gateway's watchdog in the parent process: finds a hung gateway, and the native models that ended or blocked one.

It imports little and does little, so that it does not fail.
"""

import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

from trivet.disk.pulse import LOOP_SLOT, Pulse

__all__ = ["Suspects", "Watchdog", "shown_end"]

ABORT_S = 2.0
LOOKS = 10
SLOWEST_LOOK_S = 1.0
# A process that waits for a core gets some of it: this share of the time that passes counts as if the process had run.
STARVED_SHARE = 1 / 6
CRASHES = {signal.SIGSEGV, signal.SIGFPE, signal.SIGILL, signal.SIGBUS, signal.SIGABRT, signal.SIGTRAP}
"""The signals of a crash. SIGKILL is not one: the kernel sends it to a process that uses too much memory, people to any."""
TICKS_S = 100.0


class Watchdog:
    """Watches one gateway process.

    Args:
        pid: its id.
        pulse: its memory. It is closed with the watchdog.
        hang_s: how long its event loop may stand still.

    Attributes:
        every_s: how often to call `look`.
        hung: whether it was found hung.
    """

    def __init__(self, pid: int, pulse: Pulse, *, hang_s: float) -> None:
        self.every_s = min(hang_s / LOOKS, SLOWEST_LOOK_S)
        self.hung = False
        self._pid = pid
        self._pulse = pulse
        self._hang_s = hang_s
        self._beats = 0
        self._looked_at = 0.0
        self._cpu_s = 0.0
        self._still_s = 0.0
        self._blocked_by: set[int] = set()

    def look(self, now: float) -> signal.Signals | None:
        """The signal to send to the process now, if any: SIGABRT once it hangs, then SIGKILL.

        Args:
            now: by a monotonic clock.
        """
        # A machine that was suspended did not let this process look either: no look counts for more than two intervals.
        passed_s = min(now - self._looked_at, 2 * self.every_s)
        beats, (state, cpu_s) = self._pulse.beats, _main_thread(self._pid)
        used_s, self._cpu_s, self._looked_at = cpu_s - self._cpu_s, cpu_s, now
        if beats != self._beats or beats == 0:
            self._beats = beats
            self._still_s = 0.0
            return None
        self._still_s += _standstill_s(state, passed_s=passed_s, used_s=used_s)
        if self.hung:
            return signal.SIGKILL if self._still_s >= ABORT_S else None
        if self._still_s < self._hang_s:
            return None
        self.hung = True
        self._still_s = 0.0
        self._blocked_by = {self._pulse.words[LOOP_SLOT]} - {0}
        return signal.SIGABRT

    def suspects(self, code: int) -> set[int]:
        """The native models that may have ended or blocked the process, by number.

        Args:
            code: its exit code, negative for a signal.
        """
        if self.hung:
            return self._blocked_by
        return self._pulse.calls() if -code in CRASHES else set()

    def close(self) -> None:
        """Release the memory."""
        self._pulse.close()


class Suspects:
    """The native models that ended or blocked a gateway.

    Attributes:
        faulty: what each of them did, by the number of its version.
    """

    def __init__(self) -> None:
        self.faulty: dict[int, str] = {}
        self._times: Counter[int] = Counter()

    def add(self, models: set[int], how: str) -> None:
        """A process ended. A model that ran alone is faulty; of several, those that run again when the next one ends."""
        self._times.update(models)
        for model in models:
            if len(models) == 1 or self._times[model] > 1:
                self.faulty[model] = how


def shown_end(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def _standstill_s(state: str, *, passed_s: float, used_s: float) -> float:
    """How much of the time that passed proves that an event loop hangs.

    A thread that sleeps does not wait for a core, so all of it does. One that runs or waits for the disk may get too little of the
    machine: the time that it ran counts, and a share of the rest. One that is stopped or traced does not run on purpose.
    """
    if state in ("T", "t"):
        return 0.0
    if state in ("R", "D"):
        return max(used_s, passed_s * STARVED_SHARE)
    return passed_s


def _main_thread(pid: int) -> tuple[str, float]:
    """The state of a process's main thread, and the seconds that it ran; on systems without /proc it counts as asleep."""
    with suppress(OSError, ValueError, IndexError):
        words = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
        return words[0], (int(words[11]) + int(words[12])) / TICKS_S
    return "S", 0.0
