"""When to restart a worker that ended: a pure rule."""

from dataclasses import dataclass

from trivet.domain.pauses import doubling_s

__all__ = ["BackoffPolicy", "GiveUp", "Retry", "after_end"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BackoffPolicy:
    """How restarts are damped.

    Attributes:
        first_s: the pause after the first end; each further one doubles it …
        most_s: … up to this.
        healthy_s: after a worker was ready this long, earlier ends do not count.
        give_up_after: the number of ends in a row before being ready, after which none is started. A worker that was ready and
            then died is always replaced: otherwise a client could switch a model off with fatal requests.
        stuck_after: the number of failed starts in a row after which requests do not wait for the next start.
    """

    first_s: float = 0.1
    most_s: float = 30.0
    healthy_s: float = 60.0
    give_up_after: int = 8
    stuck_after: int = 3


@dataclass(frozen=True, slots=True)
class Retry:
    """Restart after a pause. `ends` and `failed_starts` are inputs of the next decision."""

    delay_s: float
    ends: int
    failed_starts: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not restart."""


def after_end(policy: BackoffPolicy, *, ends: int, failed_starts: int, ready_s: float | None) -> Retry | GiveUp:
    """Decide after one more end.

    Args:
        policy: the numbers.
        ends: the number of earlier ends that count.
        failed_starts: the number of last starts in a row that never became ready.
        ready_s: how long this worker was ready; None if it never was.
    """
    if ready_s is None:
        failed_starts += 1
        if failed_starts >= policy.give_up_after:
            return GiveUp()
    else:
        failed_starts = 0
        if ready_s >= policy.healthy_s:
            ends = 0
    return Retry(doubling_s(ends, first_s=policy.first_s, most_s=policy.most_s), ends + 1, failed_starts)
