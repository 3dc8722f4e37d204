"""The platform's examples run to their end; what they promise they assert themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "platform"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if not path.name.startswith("_"))


def test_there_is_an_example_for_each_thing_that_the_platform_does():
    assert SCRIPTS == ["first_model.py", "hot_swap.py", "optional_inputs.py", "two_steps.py", "validations.py"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_runs_to_its_end(script: str, free_home: Path, tmp_path: Path):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRIVET_")}
    said = subprocess.run(
        [sys.executable, EXAMPLES / script],
        cwd=tmp_path, env={**environ, "TRIVET_HOME": str(free_home)}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=240, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Traceback" not in said.stderr
