"""A model that may be called in any thread: one call at a time, and none after the end was asked for."""

import os
import threading

import numpy as np
import pyarrow as pa

from trivet_worker.calls import Model
from trivet_worker.failures import hide_paths

SCHEMA = pa.schema([pa.field("x", pa.int64(), nullable=False)])
GUARD_S = 60


class Gate:
    """Answers what it was asked, each call once it may."""

    any_thread = True

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may = threading.Semaphore(0)
        self.running = 0
        self.most = 0

    def predict(self, columns):
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.release()
        assert self.may.acquire(timeout=GUARD_S)
        self.running -= 1
        return {"x": np.asarray(columns["x"])}


def test_calls_of_threads_take_turns_and_the_last_one_is_waited_for():
    gate, root = Gate(), os.path.realpath(".")
    hide = hide_paths(home="", package=root, scratch=root)
    model = Model(gate, input_schema=SCHEMA, output_schema=SCHEMA, root=root, hide=hide)
    answers = []

    def ask(value: int) -> None:
        answer = model.predict_here(pa.record_batch([pa.array([value])], schema=SCHEMA))
        assert answer.batch is not None, answer.metadata
        answers.append(answer.batch.column(0).to_pylist())

    callers = [threading.Thread(target=ask, args=(value,), daemon=True) for value in (1, 2)]
    for caller in callers:
        caller.start()
    for _ in callers:
        assert gate.begun.acquire(timeout=GUARD_S)
        gate.may.release()
    for caller in callers:
        caller.join(GUARD_S)
    assert sorted(answers) == [[1], [2]]
    assert gate.most == 1

    last = threading.Thread(target=ask, args=(3,), daemon=True)
    last.start()
    assert gate.begun.acquire(timeout=GUARD_S)
    end = threading.Thread(target=model.finish, daemon=True)
    end.start()
    gate.may.release()
    last.join(GUARD_S)
    end.join(GUARD_S)
    assert not end.is_alive()
    assert answers[-1] == [3]
    late = threading.Thread(target=ask, args=(4,), daemon=True)
    late.start()
    late.join(0.1)
    assert late.is_alive()
    assert answers[-1] == [3]
