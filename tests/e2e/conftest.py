"""Users who type commands, and the packages that they serve."""

import io
import json
import os
import shutil
import tempfile
import textwrap
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from trivet_tests.serving import Shell, make_shell
from trivet_tests.waiting import eventually

ARROW_FILE = "application/vnd.apache.arrow.file"
ARROW_STREAM = "application/vnd.apache.arrow.stream"

SUMS = {"input_schema": "x: float32[3]", "output_schema": "y: float32"}
SUM_STEP = """
    def process_data(input_data):
        return {"y": input_data["x"].sum(axis=1)}
"""


@pytest.fixture(scope="session")
def temporary() -> Iterator[Path]:
    """A folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="te-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def shell(free_home: Path, tmp_path: Path, temporary: Path) -> Shell:
    """A user with a fresh home, but for the environments."""
    return make_shell(free_home, tmp_path, temporary)


@pytest.fixture
def fresh_shell(tmp_path: Path, temporary: Path) -> Iterator[Shell]:
    """A user who has never used the command."""
    home = tmp_path / "fresh-home"
    yield make_shell(home, tmp_path, temporary)
    remove(home)


@pytest.fixture(scope="module")
def long_shell(shared_home: Path, tmp_path_factory: pytest.TempPathFactory, temporary: Path) -> Iterator[Shell]:
    """As `shell`, for servers that many tests share."""
    folder = tmp_path_factory.mktemp("user")
    home = folder / "home"
    home.mkdir(mode=0o700)
    (shared_home / "envs").mkdir(exist_ok=True)
    (home / "envs").symlink_to(shared_home / "envs", target_is_directory=True)
    yield make_shell(home, folder, temporary)
    remove(home)


def remove(home: Path) -> None:
    for root, _, _ in os.walk(home):
        Path(root).chmod(0o700)
    shutil.rmtree(home, ignore_errors=True)


# Packages.


def write_folder(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
    return folder


def write_zip(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else textwrap.dedent(content))
    return path


def step_files(code: str, *, settings: Mapping[str, Any] | None = None, file: str = "step.py") -> dict[str, str]:
    """A Python step with all that is to be said about it."""
    # JSON is YAML.
    return {file: textwrap.dedent(code), "trivet.yaml": json.dumps(SUMS | dict(settings or {}))}


BYOP = """
    from mac.config.inference import CustomInferenceConfig
    from mac.inference import Inference
    from mac.inference.creation import InferenceBuilder
    from mac.types import InferenceData

    class Summing(Inference):
        @property
        def expected_model_types(self):
            return {int}

        def _predict(self, input_data: InferenceData) -> InferenceData:
            return {"y": input_data["x"].sum(axis=1) * self.model}

    class SummingBuilder(InferenceBuilder):
        @property
        def inference(self) -> Summing:
            return Summing

        def create(self, config: CustomInferenceConfig) -> Summing:
            inference = self.inference()
            inference.model = 2
            return inference
"""


def byop_files(*replaced: tuple[str, str], **files: str) -> dict[str, str]:
    """A custom model that answers twice the sum of each row, with pieces of its code replaced."""
    code = textwrap.dedent(BYOP)
    for old, new in replaced:
        assert old in code, old
        code = code.replace(old, new)
    return {"custom_inference.py": code, "requirements.txt": "", **files}


def arrow_body(table: pa.Table, *, stream: bool = False) -> bytes:
    sink = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


class Making:
    """What tests make packages and bodies with."""

    folder = staticmethod(write_folder)
    zip = staticmethod(write_zip)
    step_files = staticmethod(step_files)
    byop_files = staticmethod(byop_files)
    arrow = staticmethod(arrow_body)
    eventually = staticmethod(eventually)

    def step(self, folder: Path, code: str = SUM_STEP, **settings: Any) -> Path:
        """A folder with a Python step, called `step` unless its settings say otherwise."""
        return self.folder(folder, self.step_files(code, settings={"name": "step", **settings}))


@pytest.fixture(scope="session")
def make() -> Making:
    return Making()
