"""Python steps: one function, found in the sources."""

from pathlib import Path

import pytest

from trivet.domain.digest import digest_of_bytes
from trivet.domain.package import Contents, EntryPoint, Manifest, PackageFile
from trivet.errors import BadPackage
from trivet.packaging.frameworks.inspection import Unpacked
from trivet.packaging.frameworks.python import inspect

STEP = "from mac.types import InferenceData\n\n\ndef process_data(input_data: InferenceData) -> InferenceData:\n    return input_data\n"


def inspected(root: Path, files: dict[str, str]) -> Contents:
    listed = []
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
        listed.append(PackageFile(path=name, size=len(content), sha256=digest_of_bytes(content.encode())))
    manifest = Manifest(files=tuple(sorted(listed, key=lambda each: each.path)))
    return inspect(Unpacked(root=root, manifest=manifest, name="step.zip"))


def refusal(root: Path, files: dict[str, str]) -> BadPackage:
    with pytest.raises(BadPackage) as caught:
        inspected(root, files)
    assert caught.value.fix
    return caught.value


def test_the_function_is_found_with_file_and_line(tmp_path: Path) -> None:
    contents = inspected(tmp_path, {"house-features.py": STEP, "other.py": "x = 1\n"})
    function = EntryPoint(file="house-features.py", name="process_data", line=4)
    assert contents == Contents(entry={"function": function}, requirements=("pandas",))


def test_requirements_are_optional_and_checked_if_given(tmp_path: Path) -> None:
    good = inspected(tmp_path / "a", {"step.py": STEP, "requirements.txt": "statsmodels\n"})
    assert good.requirements == ("statsmodels", "pandas")
    error = refusal(tmp_path / "b", {"step.py": STEP, "requirements.txt": "-e .\n"})
    assert error.path == "requirements.txt:1"


@pytest.mark.parametrize(
    "text",
    [
        "def process_data(input_data): ...\n",
        "def process_data(*all): ...\n",
        "def process_data(a, b=1, *, c=2, **more): ...\n",
        "process_data = lambda rows: rows\n",
        "import functools\ndef f(a, b): ...\nprocess_data = functools.partial(f, 1)\n",
        "try:\n    import x\nexcept ImportError:\n    def process_data(a): ...\nelse:\n    def process_data(a): ...\n",
        "def process_data(a: 'Dict[str, np.ndarray]'): ...\n",
    ],
)
def test_every_function_of_one_argument_is_accepted(tmp_path: Path, text: str) -> None:
    assert inspected(tmp_path, {"step.py": text}).entry["function"].file == "step.py"


def test_an_imported_function_counts_only_in_its_own_module(tmp_path: Path) -> None:
    contents = inspected(tmp_path, {"main.py": "from step import process_data\n", "step.py": STEP})
    assert contents.entry["function"].file == "step.py"


def test_two_functions_are_an_error_that_names_both_files(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"a.py": STEP, "lib/b.py": STEP})
    assert error.message == "Multiple process_data functions found: a.py, lib/b.py.  Only one is allowed."
    assert error.path == "a.py:4, lib/b.py:4"


def test_a_missing_function_is_an_error_with_an_example(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"step.py": "def process(x): ...\n"})
    assert error.message == "No process_data function found in step.zip: no module defines one at its top level"
    assert error.fix == "add one: write it as 'def process_data(input_data: InferenceData) -> InferenceData'"


def test_a_method_is_not_a_step(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"step.py": "class Step:\n    def process_data(self, x): ...\n"})
    assert error.why == "Step has one as a method"
    assert error.path == "step.py:2"


def test_a_function_inside_a_function_is_not_a_step(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"step.py": "def make():\n    def process_data(x): ...\n"}).reason == "no_function"


def test_an_unreadable_module_is_reported_if_it_may_hold_the_function(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"step.py": "def process_data(:\n", "other.py": ""})
    assert error.path == "step.py:1"
    assert "SyntaxError" in error.message


def test_a_step_without_a_readable_source_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"step.py": "def :"}).what == "No Python modules found in the model directory: step.zip"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("", "it takes no argument"),
        ("a, b", "it takes 2 arguments (a, b)"),
        ("a, *, b", "it takes 2 arguments (a, b)"),
        ("rows: list", "it expects list"),
    ],
)
def test_a_function_with_another_signature_is_refused(tmp_path: Path, arguments: str, why: str) -> None:
    error = refusal(tmp_path, {"step.py": f"\ndef process_data({arguments}): ...\n"})
    assert (
        error.message
        == f"process_data must be a function of one argument, a dictionary of numpy arrays or a pandas DataFrame: {why}"
    )
    assert error.path == "step.py:2"


@pytest.mark.parametrize(
    "source",
    [
        "async def process_data(x): ...\n",
        "import pandas\ndef process_data(df: pandas.DataFrame): ...\n",
        "import pandas as pd\ndef process_data(df: 'pd.DataFrame') -> pd.DataFrame: ...\n",
        "from pandas import DataFrame as Frame\ndef process_data(df: Frame): ...\n",
    ],
)
def test_a_function_may_be_async_or_ask_for_a_frame(tmp_path: Path, source: str) -> None:
    assert inspected(tmp_path, {"step.py": source}).entry["function"].name == "process_data"
