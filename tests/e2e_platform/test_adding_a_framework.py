"""A framework is one row: a new one is added to a copy of the code, in as many places as CONTRIBUTING says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trivet
import trivet_worker
from trivet_tests.command import TRIVET

ROOT = Path(__file__).parents[2]

# A model of this framework is a file with a factor: `2`.
INSPECTOR = '''
"""Factors: a file with a number."""

from trivet.domain.frameworks import Framework
from trivet.domain.package import Contents
from trivet.packaging.frameworks.inspection import found_file, model_file


def detect(package):
    return found_file(package, Framework.FACTOR, lambda file: package.head(file)[:1].isdigit())


def inspect(package):
    return Contents(files={"model": model_file(package, Framework.FACTOR)})
'''

ADAPTER = '''
"""Factors: every column is multiplied."""

import os


class FactorAdapter:
    def __init__(self, factor, kind):
        self._factor = factor
        self._kind = kind

    def predict(self, columns):
        x = columns["x"]
        if self._kind == "doubles" and x.max() > 999:
            raise ValueError("x is out of bounds")
        y = x * self._factor
        return {"loses a row": {"y": y[:-1]}, "other field": {"z": y}, "other type": {"y": y.astype(str)}}.get(
            self._kind, {"y": y}
        )


def load(package, stage):
    stage("loading")
    with open(os.path.join(package.root, package.files["model"])) as file:
        factor, _, kind = file.read().strip().partition(" ")
    if kind == "does not load":
        raise RuntimeError("not today")
    return FactorAdapter(int(factor), kind)
'''

MEMBER = '    FACTOR = "factor"\n'
ROW = """        Framework.FACTOR: Facts(
            title="a factor",
            needs="is a .factor file",
            absent="there is no .factor file",
            inspector="factor",
            suffixes=(".factor",),
            adapter="factor",
            first_try=Runtime.ISOLATED,
        ),
"""

SUITE = """
from contracts.adapters import AdapterContract

from trivet.domain.frameworks import Framework


class TestFactors(AdapterContract):
    framework = Framework.FACTOR

    def write(self, folder, behaviour):
        path = folder / "m.factor"
        path.write_text(f"2 {behaviour}")
        return path
"""

# A factor is converted to a multiplication; `4 lies` to one with another factor, `4 stays` to nothing.
CONVERTER = '''
"""Factors as ONNX."""

import os

import pyarrow as pa
from onnx import TensorProto, helper

from trivet_worker.adapters.factor import load as load_factor
from trivet_worker.raw import RawAnswer

ROWS = pa.table({"x": [0, 1, 7], "kind": ["few"] * 3})


def file_of(factor, kind):
    node = helper.make_node("Mul", ["x", "factor"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows"]) for name in "xy"]
    number = helper.make_tensor("factor", TensorProto.INT64, [], [int(factor) + (kind == "lies")])
    graph = helper.make_graph([node], "factor", ends[:1], ends[1:], [number])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


class ConvertingFactor:
    def __init__(self, own, factor, kind):
        self.predict = own.predict
        self._factor = factor
        self._kind = kind

    def answer(self, request):
        if request.path == "/converter":
            return RawAnswer(200, "text/plain", b"factors 1.0")
        if request.path == "/rows":
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, ROWS.schema) as writer:
                writer.write_table(ROWS)
            return RawAnswer(200, "", sink.getvalue().to_pybytes())
        if request.path != "/files/0":
            return RawAnswer(404, "text/plain", b"there are no more files")
        if self._kind == "stays":
            return RawAnswer(422, "text/plain", b"this factor has no ONNX form")
        return RawAnswer(200, "", file_of(self._factor, self._kind))


def load(package, stage):
    with open(os.path.join(package.root, package.files["model"])) as file:
        factor, _, kind = file.read().strip().partition(" ")
    return ConvertingFactor(load_factor(package, stage), factor, kind)
'''

CHANGED = {"trivet/domain/frameworks.py", "trivet_worker/adapters/__init__.py"}
ADDED = {"trivet/packaging/frameworks/factor.py", "trivet_worker/adapters/factor.py"}
SCHEMAS = {"--input-schema": "x: int64", "--output-schema": "y: int64"}


def insert(path: Path, *, before: str, text: str) -> None:
    old = path.read_text()
    assert old.count(before) == 1, (path, before)
    path.write_text(old.replace(before, text + before))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the platform and of the worker, with one more framework."""
    folder = tmp_path_factory.mktemp("tree")
    for package in (trivet, trivet_worker):
        source = Path(package.__path__[0])
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(trivet_worker.__path__[0]).parent / "mac", folder / "mac")
    insert(folder / "trivet/domain/frameworks.py", before="\n\nclass Runtime(", text=MEMBER)
    insert(folder / "trivet/domain/frameworks.py", before="        Framework.CUSTOM: Facts(", text=ROW)
    row = '    "factor": "trivet_worker.adapters.factor:load",\n'
    insert(folder / "trivet_worker/adapters/__init__.py", before='    "python": ', text=row)
    (folder / "trivet/packaging/frameworks/factor.py").write_text(INSPECTOR)
    (folder / "trivet_worker/adapters/factor.py").write_text(ADAPTER)
    return folder


@pytest.fixture
def converting_tree(tree: Path, tmp_path: Path) -> Path:
    """The same code, and a converter for the framework."""
    folder = tmp_path / "converting"
    shutil.copytree(tree, folder, ignore=shutil.ignore_patterns("__pycache__", "suite"))
    insert(
        folder / "trivet/domain/frameworks.py",
        before='            adapter="factor",\n',
        text='            conversion=Conversion(adapter="factor_onnx", requirements=("onnx",), keeps=()),\n',
    )
    row = '    "factor_onnx": "trivet_worker.adapters.factor_onnx:load",\n'
    insert(folder / "trivet_worker/adapters/__init__.py", before='    "python": ', text=row)
    (folder / "trivet_worker/adapters/factor_onnx.py").write_text(CONVERTER)
    return folder


def ran(tree: Path, *words: str | Path) -> str:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(ROOT / "tests" / "contract")])}
    done = subprocess.run(words, env=environ, cwd=tree, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_takes_four_places_and_a_contract_subclass(tree: Path) -> None:
    def files(root: Path) -> dict[str, bytes]:
        packages = (root / "trivet", root / "trivet_worker")
        return {
            str(each.relative_to(root)): each.read_bytes() for package in packages for each in package.rglob("*.py")
        }

    ours = {
        name: text
        for package in (trivet, trivet_worker)
        for name, text in files(Path(package.__path__[0]).parent).items()
    }
    theirs = files(tree)
    assert {name for name in theirs if name not in ours} == ADDED
    assert {name for name in theirs if name in ours and theirs[name] != ours[name]} == CHANGED
    recipe = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add a framework")[2].partition("\n## ")[0]
    numbered = re.findall(r"^\d+\. ", recipe, re.MULTILINE)
    assert len(numbered) == len(ADDED) + len(CHANGED) + 2, "a contract subclass and a page"


def test_its_adapter_keeps_the_contract(tree: Path) -> None:
    suite = tree / "suite" / "test_factors.py"
    suite.parent.mkdir()
    suite.write_text(SUITE)
    said = ran(tree, sys.executable, "-m", "pytest", suite, "-q", "-p", "no:cacheprovider", "--rootdir", suite.parent)
    assert "7 passed" in said


def test_its_models_are_checked_uploaded_deployed_and_answer(tree: Path, tmp_path: Path, platform_in) -> None:
    model = tmp_path / "doubled.factor"
    model.write_text("2")
    flags = [word for pair in SCHEMAS.items() for word in pair]
    running = platform_in(PYTHONPATH=str(tree)).start()
    home = ("--home", str(running.home))
    assert "factor model 'doubled'" in ran(tree, TRIVET, "check", model, *flags, *home)
    ran(tree, TRIVET, "upload", "doubled", str(model), *flags, *home)
    version = running.call("GET", "/v1/models/doubled")["version_list"][0]
    assert (version["status"], version["framework"], version["where"]) == ("ready", "factor", "isolated")
    ran(tree, TRIVET, "deploy", "doubled", "doubled", *home)
    rows = tmp_path / "rows.json"
    rows.write_text('[{"x": 21}, {"x": 4}]')
    said = ran(tree, TRIVET, "infer", "doubled", rows, *home)
    assert "42" in said
    assert "8" in said


@pytest.mark.slow
def test_a_version_runs_natively_where_its_converted_file_answers_the_same(
    converting_tree: Path, tmp_path: Path, platform_in
) -> None:
    running = platform_in(PYTHONPATH=str(converting_tree)).start()
    home = ("--home", str(running.home))
    flags = [word for pair in SCHEMAS.items() for word in pair]
    for name, text in {"converted": "4", "lying": "4 lies", "staying": "4 stays"}.items():
        (tmp_path / f"{name}.factor").write_text(text)
        ran(converting_tree, TRIVET, "upload", name, tmp_path / f"{name}.factor", *flags, *home)
    versions = {
        name: running.call("GET", f"/v1/models/{name}")["version_list"][0] for name in ("converted", "lying", "staying")
    }
    assert {name: each["where"] for name, each in versions.items()} == {
        "converted": "native",
        "lying": "isolated",
        "staying": "isolated",
    }
    reasons = {name: each["where_why"] for name, each in versions.items()}
    assert reasons == {
        "converted": "its converted file gave the same answers to 6 rows, up to 0",
        "lying": "the converted file answers otherwise (few rows): 'y' is 5, not 4, and 2 of 3 rows differ",
        "staying": "this factor has no ONNX form",
    }
    blobs = {path.name for path in (running.home / "blobs").iterdir()}
    converted = blobs - {each["sha"] for each in versions.values()}
    assert len(converted) == 1
    # The platform runs the blob, wherever its unpacked copy went.
    copy = running.home / "packages" / converted.pop()
    for each in (copy, *copy.rglob("*")):
        each.chmod(0o700)
    shutil.rmtree(copy)
    ran(converting_tree, TRIVET, "deploy", "converted", "converted", *home)
    rows = tmp_path / "rows.json"
    rows.write_text('[{"x": 21}]')
    assert "84" in ran(converting_tree, TRIVET, "infer", "converted", rows, *home)
    assert running.workers() == []
    ran(converting_tree, TRIVET, "undeploy", "converted", *home)
    running.call("DELETE", "/v1/pipelines/converted")
    running.call("DELETE", "/v1/models/converted")
    left = {path.name for path in (running.home / "blobs").iterdir()}
    assert left == {versions[name]["sha"] for name in ("lying", "staying")}
