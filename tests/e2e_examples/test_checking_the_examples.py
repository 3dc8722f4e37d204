"""`trivet check` on every example, and on copies of them with one thing wrong."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trivet_tests.command import run_here

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What `trivet check --json` found."""

    code: int
    report: dict[str, Any]
    stderr: str

    def details(self, step: str) -> list[str]:
        return [found["detail"] for found in self.report["steps"] if found["step"] == step]


@pytest.fixture
def check(free_home: Path) -> Callable[..., Checked]:
    def run(path: Path, *flags: str) -> Checked:
        said = run_here("check", path, *flags, "--json", environ={**os.environ, "TRIVET_HOME": str(free_home)})
        assert "Traceback" not in said.stderr
        return Checked(code=said.returncode, report=json.loads(said.stdout), stderr=said.stderr)

    return run


def made_by_script(example: str, folder: Path) -> Path:
    """The model that an example's script writes."""
    script = EXAMPLES / example / "make_model.py"
    subprocess.run([sys.executable, script, folder], check=True, timeout=60, capture_output=True)
    (path,) = folder.glob("*.onnx")
    return path


@pytest.mark.parametrize(
    ("example", "flags", "takes", "answers"),
    [
        ("fraud_onnx", ["--tensor-fields", "tensor"], "tensor: float32[29]", "dense_1: float32[1]"),
        (
            "two_inputs_onnx", [], "area: float32[1]; district: string[1]", "price: float32[1]; expensive: bool[1]"
        ),
    ],
)  # fmt: skip
def test_a_model_that_a_script_writes_will_serve(check, tmp_path, *, example, flags, takes, answers):
    checked = check(made_by_script(example, tmp_path), *flags)
    assert (checked.code, checked.report["ok"]) == (0, True)
    assert checked.details("loaded") == ["native runtime"]
    assert checked.details("takes") == [takes]
    assert checked.details("answers") == [answers]
    assert "opset ai.onnx" in checked.details("file")[0]


@pytest.mark.parametrize("example", ["optional_inputs", "preprocess_step"])
def test_a_folder_that_says_everything_itself_passes_its_own_tests(check, example):
    checked = check(EXAMPLES / example)
    assert (checked.code, checked.report["ok"]) == (0, True)
    assert checked.details("answered") == ["the example row"]
    tests = checked.details("test")
    assert len(tests) == 2
    assert all(test.endswith(": passed") for test in tests)


def test_the_same_folder_zipped_passes_as_well(check, tmp_path):
    path = tmp_path / "house features.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("house_features.py", "trivet.yaml"):
            archive.write(EXAMPLES / "preprocess_step" / name, f"step/{name}")
    checked = check(path)
    assert checked.code == 0
    assert len(checked.details("test")) == 2


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """`changed("preprocess_step", "trivet.yaml", old, new)`: a copy of an example with one thing other than it was."""

    def change(example: str, name: str, old: str, new: str) -> Path:
        folder = tmp_path / example
        shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns("__pycache__"))
        path = folder / name
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        return folder

    return change


def test_a_failed_test_names_the_place_of_the_difference(check, changed):
    checked = check(changed("preprocess_step", "trivet.yaml", "1690, 7639, 63, 1, 23]", "1690, 7639, 63, 1, 22]"))
    assert (checked.code, checked.report["ok"]) == (1, False)
    good, bad = checked.details("test")
    assert good == "a house as it was built: passed"
    assert bad == "a house renovated 23 years before its sale: [0].tensor[17] is 23.0, expected 22"


def test_a_step_that_answers_one_number_too_few_is_named_with_both_widths(check, changed):
    checked = check(changed("preprocess_step", "house_features.py", '"floors", "waterfront", ', '"floors", '))
    assert checked.code == 1
    assert checked.report["error"]["path"] == "tensor"
    assert "18" in checked.report["error"]["error"]
    assert "17" in checked.report["error"]["error"]


def test_an_example_row_that_does_not_fit_is_named(check, changed):
    checked = check(
        changed(
            "optional_inputs",
            "trivet.yaml",
            "  - {input_1: [1, 2], input_2: [5, 6], multiply_factor: 2}\n\n",
            "  - {input_1: null}\n\n",
        )
    )
    assert checked.code == 1
    assert checked.report["error"]["error"].startswith("the example rows do not fit the input schema")
    assert checked.report["error"]["path"] == "[0].input_1"


def test_a_model_of_another_type_than_expected_is_named_with_both_types(check, changed):
    checked = check(
        changed("optional_inputs", "custom_inference.py", "inference.model = Combiner()", "inference.model = 3")
    )
    assert checked.code == 1
    error = checked.report["error"]
    assert "int" in error["error"]
    assert "Combiner" in error["error"]
    assert "custom_inference.py:" in error["path"]
