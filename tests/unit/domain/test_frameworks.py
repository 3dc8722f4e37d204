"""The table of frameworks, and that of files which none of them takes."""

import pytest

from trivet.domain.frameworks import ACCEPTED, FRAMEWORKS, NOT_TAKEN, Framework, Runtime, frameworks_of
from trivet.packaging.frameworks.inspection import inspector_of
from trivet_worker.adapters import ADAPTERS


def test_every_framework_has_a_row() -> None:
    assert set(FRAMEWORKS) == set(Framework)


@pytest.mark.parametrize("framework", Framework)
def test_every_framework_has_its_inspector(framework: Framework) -> None:
    inspector = inspector_of(framework)
    assert callable(inspector.detect)
    assert callable(inspector.inspect)


@pytest.mark.parametrize("framework", Framework)
def test_what_workers_run_has_an_adapter(framework: Framework) -> None:
    facts = FRAMEWORKS[framework]
    assert facts.adapter is None or facts.adapter in ADAPTERS
    assert facts.adapter is not None or facts.first_try is Runtime.NATIVE


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("A.ONNX", (Framework.ONNX,)),
        ("m.pkl", (Framework.SKLEARN, Framework.XGBOOST, Framework.LIGHTGBM)),
        ("m.pt", (Framework.PYTORCH,)),
        ("m.tar", ()),
        ("onnx", ()),
        ("", ()),
    ],
)
def test_a_suffix_says_which_frameworks_wrote_a_file(file: str, found: tuple[Framework, ...]) -> None:
    assert frameworks_of(file) == found


def test_no_file_is_both_taken_and_not_taken() -> None:
    assert not [suffix for suffix in NOT_TAKEN if frameworks_of(f"m{suffix}")]
    listed = ACCEPTED.removeprefix("give ").split(", ")
    assert "a .joblib file" in listed
    assert "an .onnx file" in listed
    assert listed[-2:] == ["a .zip", "or a folder with the package's files"]
