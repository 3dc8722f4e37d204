"""`make demo` runs `examples/demo.py`: three services, a platform, their rows, their answers, and nothing left over."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from trivet_tests.waiting import eventually

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of the examples, with nothing built."""
    folder = tmp_path / "examples"
    shutil.copytree(PROJECT / "examples", folder, ignore=shutil.ignore_patterns("build", "__pycache__"))
    return folder


def environ(home: Path) -> dict[str, str]:
    return {**os.environ, "TRIVET_HOME": str(home), "COLUMNS": "140"}


def left_over(home: Path) -> list[psutil.Process]:
    """Processes that were started for a home."""
    return [process for process in psutil.process_iter() if is_of(process, home)]


def is_of(process: psutil.Process, home: Path) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get("TRIVET_HOME") == str(home)
    except psutil.Error:
        return False


def test_the_demo_shows_three_packages_and_a_platform_and_can_be_run_again(examples: Path, free_home: Path) -> None:
    for run in (1, 2):
        said = subprocess.run(
            [sys.executable, examples / "demo.py"],
            env=environ(free_home), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        assert said.returncode == 0, said.stdout + said.stderr
        for answer in ("[0.0094", "[0.9990", "[3.0, 1.0, 1180.0", "[12.0, 16.0]", "[3.0, 4.0, 5.0]"):
            assert answer in said.stdout
        uploaded = re.findall(r"^(house-\w+) version (\d+): ", said.stdout, re.MULTILINE)
        assert uploaded == [
            ("house-features", str(run)),
            ("house-price", str(2 * run - 1)),
            ("house-price", str(2 * run)),
        ]
        before, after = '[{"out.price":[324500.0]},{"out.price":[739500.0]}]', '{"out.price":[359900.0]}'
        assert said.stdout.index(before) < said.stdout.index(after)
        assert re.search(r"^Meanwhile [1-9]\d* requests were sent and all were answered", said.stdout, re.MULTILINE)
        assert re.search(r'^\{"time":\d+,"out.price":\[816600.0\]\}$', said.stdout, re.MULTILINE)
        assert re.search(r"^houses +Running +house-features@\d+ > house-price@\d+ +1/1 ", said.stdout, re.MULTILINE)
        assert "Stopped." in said.stdout
        assert left_over(free_home) == []


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "$ trivet up "),
        (signal.SIGINT, "$ trivet upload house-features"),
        (signal.SIGTERM, "Meanwhile"),
    ],
)
def test_a_demo_that_is_broken_off_leaves_nothing_running(
    examples: Path, free_home: Path, tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    said = tmp_path / "said"
    with said.open("wb") as output:
        demo = subprocess.Popen(
            [sys.executable, examples / "demo.py"],
            env=environ(free_home), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while moment not in said.read_text():
            assert demo.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.02)
        demo.send_signal(number)
        assert demo.wait(timeout=90) == 130, said.read_text()
    finally:
        demo.kill()
        demo.wait()
    assert "Traceback" not in said.read_text()
    # A command that was at work ends by itself, a moment after the demo.
    eventually(lambda: not left_over(free_home), lambda: left_over(free_home))


def test_a_platform_that_does_not_start_is_reported_and_leaves_nothing(examples: Path, free_home: Path) -> None:
    (free_home / "catalog.db").mkdir()
    said = subprocess.run(
        [sys.executable, examples / "demo.py"],
        env=environ(free_home), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert said.returncode == 1
    assert "trivet up ended with exit code 1 before it was ready" in said.stderr
    assert left_over(free_home) == []


def test_the_models_that_scripts_write_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for script in ("fraud_onnx", "two_inputs_onnx"):
        written = []
        for folder in (tmp_path / "first", tmp_path / "second"):
            subprocess.run(
                [sys.executable, PROJECT / "examples" / script / "make_model.py", folder], check=True, timeout=60,
                capture_output=True,
            )  # fmt: skip
            written.append({path.name: path.read_bytes() for path in folder.iterdir()})
        assert written[0] == written[1]
