"""The platform's examples run to their end; what they promise they assert themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "platform"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if not path.name.startswith("_"))
# The page of the examples runs it.
ON_A_PAGE = "first_model.py"


def test_there_is_an_example_for_each_thing_that_the_platform_does():
    assert SCRIPTS == ["first_model.py", "hot_swap.py", "optional_inputs.py", "two_steps.py", "validations.py"]


def test_the_page_of_the_examples_runs_one_of_them():
    assert f"\npython examples/platform/{ON_A_PAGE}\n" in (EXAMPLES / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("script", [script for script in SCRIPTS if script != ON_A_PAGE])
def test_an_example_runs_to_its_end(script: str, free_home: Path, tmp_path: Path):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRIVET_")}
    said = subprocess.run(
        [sys.executable, EXAMPLES / script],
        cwd=tmp_path, env={**environ, "TRIVET_HOME": str(free_home)}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=240, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Traceback" not in said.stderr
