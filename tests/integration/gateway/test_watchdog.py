"""The watchdog and what it reads, with real processes and a clock of the test's own."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from trivet.disk.pulse import LOOP_SLOT, Pulse
from trivet.engine.batch import Batch
from trivet.engine.native.marks import CallMarks
from trivet.wiring.watchdog import Suspects, Watchdog, shown_end
from trivet_tests.waiting import eventually

SLEEPS = "import time; print(1, flush=True); time.sleep(600)"
SPINS = "print(1, flush=True)\nwhile True: pass"
CRASHES = """
import os, signal, sys
from trivet.disk.pulse import Pulse
pulse = Pulse(int(sys.argv[1]))
pulse.words[5] = 12
os.kill(os.getpid(), signal.Signals[sys.argv[2]])
"""
HANG_S = 10.0


@pytest.fixture
def start() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Runs a program until the end of the test, and returns when it has printed a line."""
    started: list[subprocess.Popen[str]] = []

    def run(program: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    shared = Pulse.create()
    yield shared
    shared.close()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class Looks:
    """A watchdog with a clock that only this test moves."""

    def __init__(self, pid: int, pulse: Pulse) -> None:
        self.watchdog = Watchdog(pid, pulse, hang_s=HANG_S)
        self.now = 1000.0

    def during(self, seconds: float) -> list[signal.Signals]:
        """Look as often as the parent does; the signals that it would send."""
        signals = []
        for _ in range(round(seconds / self.watchdog.every_s)):
            self.now += self.watchdog.every_s
            signals.append(self.watchdog.look(self.now))
        return [each for each in signals if each is not None]


def test_an_event_loop_that_stands_still_is_aborted_then_killed(start, pulse) -> None:
    process = start(SLEEPS)
    eventually(lambda: state(process.pid) == "S")
    looks = Looks(process.pid, pulse)
    assert looks.during(60) == []  # it has not started yet
    for _ in range(60):
        pulse.beat()
        assert looks.during(1) == []
    pulse.words[LOOP_SLOT] = 7
    pulse.words[LOOP_SLOT + 3] = 8
    assert looks.during(HANG_S - 2) == []
    assert looks.during(3) == [signal.SIGABRT]
    assert signal.SIGKILL in looks.during(4)
    pulse.words[LOOP_SLOT] = 0
    assert looks.watchdog.suspects(-signal.SIGKILL) == {7}


def test_a_stopped_process_does_not_hang(start, pulse) -> None:
    process = start(SLEEPS)
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: state(process.pid) == "T")
    pulse.beat()
    looks = Looks(process.pid, pulse)
    assert looks.during(600) == []
    process.send_signal(signal.SIGCONT)
    eventually(lambda: state(process.pid) == "S")
    assert looks.during(HANG_S + 1) == [signal.SIGABRT]


def test_a_process_that_waits_for_a_core_has_more_time(start, pulse) -> None:
    process = start(SPINS)
    eventually(lambda: state(process.pid) == "R")
    pulse.beat()
    looks = Looks(process.pid, pulse)
    assert looks.during(3 * HANG_S) == []
    assert signal.SIGABRT in looks.during(6 * HANG_S)


def test_a_suspended_machine_does_not_end_the_gateway(start, pulse) -> None:
    process = start(SLEEPS)
    eventually(lambda: state(process.pid) == "S")
    pulse.beat()
    looks = Looks(process.pid, pulse)
    assert looks.during(2) == []
    looks.now += 3600
    assert looks.during(2) == []


@pytest.mark.parametrize(("number", "suspects"), [("SIGFPE", {12}), ("SIGSEGV", {12}), ("SIGKILL", set())])
def test_a_crash_leaves_the_model_of_its_call(number, suspects) -> None:
    shared = Pulse.create()
    process = subprocess.Popen(
        [sys.executable, "-c", CRASHES, str(shared.descriptor), number], pass_fds=[shared.descriptor]
    )
    code = process.wait(60)
    assert shown_end(code) == f"killed by {number}"
    watchdog = Watchdog(process.pid, shared, hang_s=HANG_S)
    assert watchdog.suspects(code) == suspects
    watchdog.close()


def test_of_several_models_the_one_that_is_there_again_is_faulty() -> None:
    suspects = Suspects()
    suspects.add({1, 2}, "first")
    assert suspects.faulty == {}
    suspects.add({2, 3}, "second")
    assert suspects.faulty == {2: "second"}
    suspects.add({4}, "alone")
    assert suspects.faulty == {2: "second", 4: "alone"}


class Peeking:
    """A session that answers with the calls that are marked while it runs."""

    input_schema = output_schema = pa.schema([pa.field("x", pa.int64())])
    joins = rectangular = True

    def __init__(self, pulse: Pulse) -> None:
        self.canned = Batch(self.input_schema, [], 0)
        self.pulse = pulse
        self.seen: list[tuple[int, set[int]]] = []

    def run(self, batch: Batch, run_options: object = None) -> Batch:
        self.seen.append((self.pulse.words[LOOP_SLOT], self.pulse.calls()))
        if len(self.seen) == 3:
            raise RuntimeError
        return batch


def test_a_call_is_marked_while_it_runs(pulse) -> None:
    marks = CallMarks(pulse.words[LOOP_SLOT:])
    inner = Peeking(pulse)
    session = marks.session(inner, 9)
    batch = session.canned
    assert session.run(batch) is batch
    thread = threading.Thread(target=session.run, args=[batch])
    thread.start()
    thread.join()
    with pytest.raises(RuntimeError):
        session.run(batch)
    assert inner.seen == [(9, {9}), (0, {9}), (9, {9})]
    assert pulse.calls() == set()
    with marks.marked(4), marks.marked(5):
        assert pulse.calls() == {4, 5}


def test_more_calls_than_slots_share_the_last_one(pulse) -> None:
    marks = CallMarks(pulse.words[LOOP_SLOT : LOOP_SLOT + 4])
    with marks.marked(1), marks.marked(2), marks.marked(3), marks.marked(4):
        assert pulse.calls() == {1, 2, 4}
    assert pulse.calls() == set()
    with marks.marked(5), marks.marked(6), marks.marked(7):
        assert pulse.calls() == {5, 6, 7}
