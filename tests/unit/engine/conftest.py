"""Small ONNX models, made as a test asks for them."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper


class Models:
    """Writes ONNX files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def write(
        self, nodes: Sequence[Any], inputs: dict[str, Any], outputs: dict[str, Any], initializers: Sequence[Any] = ()
    ) -> Path:
        """A model; inputs and outputs are `name: (dtype, shape)`, or whole value infos."""

        def infos(values: dict[str, Any]) -> list[Any]:
            return [
                helper.make_tensor_value_info(name, *value) if isinstance(value, tuple) else value
                for name, value in values.items()
            ]

        graph = helper.make_graph(list(nodes), "graph", infos(inputs), infos(outputs), list(initializers))
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        self._count += 1
        path = self._folder / f"model-{self._count}.onnx"
        onnx.save(model, path)
        return path

    def identity(self, shape: Sequence[Any], dtype: int = TensorProto.FLOAT) -> Path:
        """`y = x`."""
        node = helper.make_node("Identity", ["x"], ["y"])
        return self.write([node], {"x": (dtype, shape)}, {"y": (dtype, shape)})


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


@pytest.fixture
def write_model(models: Models) -> Callable[..., Path]:
    return models.write


@pytest.fixture
def benchmark_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ONNX model of the benchmarks."""
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "harness.py"
    spec = importlib.util.spec_from_file_location("harness", path)
    assert spec is not None
    assert spec.loader is not None
    harness = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "harness", harness)
    spec.loader.exec_module(harness)
    made: Path = harness.make_models(tmp_path).onnx
    return made
