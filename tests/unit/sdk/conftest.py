"""Operations without a platform: they are told what came back, and a clock that only they move."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from trivet.sdk.calls import Call, Operation, Pause, Reply


class Talk:
    """Carries an operation out with answers that were written down.

    Args:
        answer: gives a document, a `Reply` or an error for each call.
    """

    def __init__(self, answer: Callable[[Call], Any]) -> None:
        self.answer = answer
        self.calls: list[Call] = []
        self.now = 1000.0
        self.said = ""

    def say(self, text: str) -> None:
        self.said += text

    def run(self, operation: Operation[Any]) -> Any:
        try:
            step = next(operation)
            while True:
                if isinstance(step, Pause):
                    self.now += step.seconds
                    step = operation.send(Reply(at=self.now))
                    continue
                self.calls.append(step)
                came = self.answer(step)
                if isinstance(came, BaseException):
                    step = operation.throw(came)
                elif isinstance(came, Reply):
                    step = operation.send(came)
                else:
                    step = operation.send(Reply(status=200, content=json.dumps(came).encode(), at=self.now))
        except StopIteration as end:
            return end.value


@pytest.fixture
def talk() -> type[Talk]:
    return Talk
