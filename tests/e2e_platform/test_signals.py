"""Signals to `trivet up` while a request is with its model: what is answered, how long the end takes, and what is left."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import psutil
import pyarrow as pa
import pytest

from trivet_tests.platform import Platform
from trivet_tests.waiting import eventually

# Sleeps for a request only: in the trial of an upload it would use up the trial's time.
SLEEPS = """
import time
from mac.types import InferenceData


def process_data(input_data: InferenceData) -> InferenceData:
    if "sleep" in input_data["how"]:
        time.sleep(float(input_data["x"].max()))
    return {"x": input_data["x"]}
"""
INPUTS = pa.schema([pa.field("how", pa.string()), pa.field("x", pa.float32())])
OUTPUTS = pa.schema([pa.field("x", pa.float32())])
# Becomes the process of a terminal, as a shell in a window is.
IN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture
def sleeping(platform_in: Callable[..., Platform], tmp_path: Path) -> Platform:
    """A platform with the pipeline `sleeps`; its drain takes a minute at most."""
    with ZipFile(tmp_path / "sleeps.zip", "w") as archive:
        archive.writestr("step.py", SLEEPS)
        archive.writestr("requirements.txt", "")
    platform = platform_in(TRIVET_DRAIN_S="60").start()
    schemas = {"input_schema": INPUTS, "output_schema": OUTPUTS}
    platform.deploy("sleeps", platform.upload("sleeps", tmp_path / "sleeps.zip", framework="python", **schemas))
    return platform


def in_flight(platform: Platform, clients: ThreadPoolExecutor, seconds: float) -> Future[Any]:
    """A request that the model holds for so long."""
    sent = clients.submit(platform.infer, "sleeps", [{"how": "sleep", "x": seconds}])
    line = 'trivet_requests_in_flight{pipeline="sleeps",workspace="1"} 1.0'
    eventually(lambda: line in platform.metrics(), platform.log)
    return sent


def test_on_sighup_requests_in_flight_are_answered_and_nothing_is_left(sleeping: Platform):
    with ThreadPoolExecutor(1) as clients:
        sent = in_flight(sleeping, clients, 2)
        processes = sleeping.processes()
        sleeping.process.send_signal(signal.SIGHUP)
        assert sent.result().status_code == 200
        assert sleeping.process.wait(60) == 0, sleeping.log()
    assert not psutil.wait_procs(processes, timeout=30)[1]


def test_a_second_sigterm_ends_everything_within_seconds(sleeping: Platform):
    with ThreadPoolExecutor(1) as clients:
        sent = in_flight(sleeping, clients, 50)
        processes = sleeping.processes()
        control = psutil.Process(sleeping.pid("control"))
        sleeping.process.send_signal(signal.SIGTERM)
        # The control API, which has no request, does not wait for the gateway's.
        control.wait(60)
        assert sleeping.process.poll() is None
        assert not sent.done()
        began = time.monotonic()
        sleeping.process.send_signal(signal.SIGTERM)
        assert sleeping.process.wait(60) == 0, sleeping.log()
        # Two seconds, and what a busy machine adds; a drain takes sixty.
        assert time.monotonic() - began < 20
        sent.exception()
    assert not psutil.wait_procs(processes, timeout=30)[1]


def test_a_terminal_that_closes_ends_the_platform_in_order(platform_in: Callable[..., Platform], free_home: Path):
    ours, terminal = pty.openpty()
    trivet = Path(sys.executable).with_name("trivet")
    with subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, trivet, "up", "--home", free_home, "--port", "0", "--http-port", "0"],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, env={**os.environ, "TERM": "dumb"},
    ) as process:  # fmt: skip
        os.close(terminal)
        try:
            eventually((free_home / "run" / "platform.json").exists, lambda: os.read(ours, 4096).decode())
            processes = psutil.Process(process.pid).children(recursive=True)
            os.close(ours)
            # The exit code of a process whose output is gone is Python's own.
            assert process.wait(60) in {0, 120}
        finally:
            process.kill()
    assert not psutil.wait_procs(processes, timeout=30)[1]
    assert not (free_home / "run" / "platform.json").exists()
