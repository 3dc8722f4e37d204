"""One real platform for these tests, as `Client.local` starts it; and models to upload."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from trivet import Client


def write_negated(path: Path, *, takes: str = "x", gives: str = "y", width: int = 2) -> Path:
    """`y = -x`, rows of `width` float32 values."""
    graph = helper.make_graph(
        [helper.make_node("Neg", [takes], [gives])],
        "graph",
        [helper.make_tensor_value_info(takes, TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info(gives, TensorProto.FLOAT, ["N", width])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="session")
def negated(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("models")

    def make(**about) -> Path:
        name = "-".join(str(each) for each in about.values()) or "plain"
        return write_negated(folder / f"{name}.onnx", **about)

    return make


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    # What the environment says of another platform must not reach this one.
    elsewhere = {
        "TRIVET_DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:1/none",
        "TRIVET_BLOB_URL": "s3://somebody-elses",
        "TRIVET_TOKEN": "of-another-platform-0123456789",
        "TRIVET_PORT": "1",
    }
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environ:
            for name, value in elsewhere.items():
                environ.setenv(name, value)
            made = stack.enter_context(Client.local(quiet=True))
        yield made
