"""Ends of workers that earlier supervisors have counted."""

from datetime import UTC, datetime
from typing import Any

from trivet.domain.deployment import DeploymentState, DeploymentStatus, WorkerStatus
from trivet.supervisor.earlier_ends import EarlierEnds

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
NEVER = (0, None)


def worker(version: str, restarts: int = 0, *, at: datetime = EARLY) -> WorkerStatus:
    error: dict[str, Any] = {"last_error": f"exit code {restarts}", "last_error_at": at} if restarts else {}
    return WorkerStatus(
        id=f"{version}-{restarts}",
        model="m",
        version=version,
        status=DeploymentState.RUNNING,
        restarts=restarts,
        **error,
    )


def status(*workers: WorkerStatus, state: DeploymentState = DeploymentState.RUNNING) -> DeploymentStatus:
    return DeploymentStatus(state=state, generation=1, workers=workers)


def counted(found: DeploymentStatus) -> list[tuple[int, datetime | None]]:
    return [(each.restarts, each.last_error_at) for each in found.workers]


def test_ends_of_earlier_supervisors_are_added_by_version_and_place() -> None:
    ends = EarlierEnds()
    ends.take(1, status(worker("a", 3), worker("b"), worker("a", 5)))
    now = ends.added_to(1, status(worker("a"), worker("a", 2, at=LATE), worker("b"), worker("a")))
    assert counted(now) == [(3, EARLY), (7, LATE), NEVER, NEVER]
    assert [each.last_error for each in now.workers] == ["exit code 3", "exit code 2", None, None]
    assert counted(ends.added_to(2, status(worker("a")))) == [NEVER]


def test_the_ends_stay_while_steps_are_prepared_again() -> None:
    ends = EarlierEnds()
    ends.take(1, status(worker("a", 3)))
    assert counted(ends.added_to(1, status(state=DeploymentState.STARTING))) == []
    assert counted(ends.added_to(1, status(worker("a")))) == [(3, EARLY)]


def test_a_version_that_was_replaced_or_stopped_begins_again() -> None:
    for between in (status(worker("b")), status(state=DeploymentState.STOPPED)):
        ends = EarlierEnds()
        ends.take(1, status(worker("a", 3)))
        ends.added_to(1, between)
        assert counted(ends.added_to(1, status(worker("a")))) == [NEVER]
