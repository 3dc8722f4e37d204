"""Real platforms, started as users start them: `trivet up` in a home of its own, on ports of its own."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from trivet_tests.platform import Platform


@pytest.fixture
def started_home(free_home: Path, first_catalog: Path) -> Path:
    """A home of the test's own after a first start."""
    shutil.copy(first_catalog, free_home / "catalog.db")
    return free_home


@pytest.fixture
def platform(started_home: Path) -> Iterator[Platform]:
    """A platform of the test's own."""
    running = Platform(home=started_home).start()
    yield running
    code = running.stop()
    assert code == 0, running.log()


@pytest.fixture(scope="module")
def start_platform(module_home: Path, first_catalog: Path) -> Callable[..., AbstractContextManager[Platform]]:
    """`with start_platform(TRIVET_DATABASE_URL=…) as running:` for the tests of a module. Its home is new each time."""

    @contextmanager
    def start(**environ: str) -> Iterator[Platform]:
        home = module_home / uuid4().hex[:8]
        home.mkdir(mode=0o700)
        (home / "envs").symlink_to((module_home / "envs").resolve(), target_is_directory=True)
        shutil.copy(first_catalog, home / "catalog.db")
        running = Platform(home=home, environ=environ).start()
        try:
            yield running
        finally:
            code = running.stop()
        assert code == 0, running.log()

    return start


@pytest.fixture(scope="module")
def shared_platform(start_platform: Callable[..., AbstractContextManager[Platform]]) -> Iterator[Platform]:
    """A platform that the tests of a module share: each has models and pipelines of names of its own."""
    with start_platform() as running:
        yield running


@pytest.fixture
def platform_in(started_home: Path) -> Iterator[Callable[..., Platform]]:
    """A platform that the test starts itself, in a home of its own: `platform_in(environ={…})`."""
    made: list[Platform] = []

    def make(**environ: str) -> Platform:
        made.append(Platform(home=started_home, environ=environ))
        return made[-1]

    yield make
    for each in made:
        if each.process is not None:
            each.stop()


@pytest.fixture(scope="session")
def times(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """`times(3)` is an ONNX file: `x` float32[2] in, `y` float32[2] out, three times as large."""
    folder = tmp_path_factory.mktemp("models")

    def make(factor: float) -> Path:
        path = folder / f"times-{factor:g}.onnx".replace(".", "-", 1 if factor % 1 else 0)
        if not path.exists():
            graph = helper.make_graph(
                name="times",
                inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
                outputs=[helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
                initializer=[numpy_helper.from_array(np.array(factor, dtype=np.float32), "factor")],
                nodes=[helper.make_node("Mul", ["x", "factor"], ["y"])],
            )
            save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
        return path

    return make


STEP = """
from mac.types import InferenceData


def process_data(input_data: InferenceData) -> InferenceData:
    return {{"x": input_data["x"] * {factor}}}
"""


@pytest.fixture(scope="session")
def step_schema() -> pa.Schema:
    """What those steps take and answer."""
    return pa.schema([pa.field("x", pa.list_(pa.float32(), 2))])


@pytest.fixture(scope="session")
def step_times(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """`step_times(3)` is a zip with a Python step: `x` float32[2] in, `x` float32[2] out, three times as large."""
    import zipfile

    folder = tmp_path_factory.mktemp("steps")

    def make(factor: float) -> Path:
        path = folder / f"step{factor:g}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("step.py", STEP.format(factor=factor))
            archive.writestr("requirements.txt", "")
        return path

    return make
