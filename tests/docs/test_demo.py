"""`make demo` runs `examples/demo.py`: three services, their rows, their answers, and nothing left over."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def test_the_demo_serves_three_packages_and_prints_their_answers(tmp_path: Path, shared_home: Path) -> None:
    examples = tmp_path / "examples"
    shutil.copytree(PROJECT / "examples", examples, ignore=shutil.ignore_patterns("build", "__pycache__"))
    said = subprocess.run(
        [sys.executable, examples / "demo.py"],
        env={**os.environ, "TRIVET_HOME": str(shared_home), "COLUMNS": "140"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    for answer in ("[0.0094", "[0.9990", "[3.0, 1.0, 1180.0", "[12.0, 16.0]", "[3.0, 4.0, 5.0]"):
        assert answer in said.stdout


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
