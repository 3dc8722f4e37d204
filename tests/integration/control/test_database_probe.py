"""A question to a store that may hang: each caller waits a limited time, and one thread asks."""

import threading
import time

from trivet.errors import Unavailable
from trivet.wiring.database_probe import Patient


def test_an_answer_that_does_not_come_is_a_problem_and_is_asked_for_once():
    release, asked = threading.Event(), []

    def ask() -> None:
        asked.append(1)
        release.wait(60)

    patient = Patient(ask, within_s=0.05, fresh_s=0)
    assert [patient.problem() for _ in range(3)] == ["no answer within 0.05 s"] * 3
    assert asked == [1]
    release.set()
    deadline = time.monotonic() + 60
    while patient.problem() is not None:
        assert time.monotonic() < deadline


def test_an_error_is_shown_without_its_details():
    def ask() -> str:
        raise Unavailable("the catalog cannot be reached", why="host db.internal refused user me")

    assert Patient(ask, within_s=60, fresh_s=0).problem() == "the catalog cannot be reached"


def test_an_answer_is_used_again_for_a_while():
    asked = []
    patient = Patient(lambda: asked.append(1), within_s=60, fresh_s=60)
    assert [patient.problem(), patient.problem()] == [None, None]
    assert asked == [1]
