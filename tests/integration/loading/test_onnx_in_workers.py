"""ONNX models whose graphs were not proved harmless run in workers, and answer as a native session does."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from trivet.domain.frameworks import Runtime
from trivet.domain.package import ModelSettings
from trivet.domain.routes import NativeStep
from trivet.engine.served import predict
from trivet.errors import BadPackage, DeadlineExceeded, Invalid, TrivetError, Unavailable
from trivet.gateway.formats.records import RecordsDecoder
from trivet.loading.describe import describe
from trivet.loading.prepare import prepare
from trivet.settings import Settings
from trivet.wiring.standalone import rows_of, standalone
from trivet_worker.sandbox import landlock_abi

INT, FLOAT = TensorProto.INT32, TensorProto.FLOAT


@pytest.fixture
def settings(free_home: Path) -> Settings:
    return Settings(home=free_home)


def written(folder: Path, nodes, inputs, outputs, initializers=()) -> Path:
    graph = make_graph(
        nodes,
        "model",
        [make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs],
        list(initializers),
    )
    model = make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def doubling(folder: Path) -> Path:
    return written(folder, [make_node("Add", ["x", "x"], ["y"])], [("x", FLOAT, [None, 2])], [("y", FLOAT, [None, 2])])


def dividing(folder: Path) -> Path:
    one = onnx.numpy_helper.from_array(np.array(1, np.int32), "one")
    nodes = [make_node("Add", ["b", "one"], ["c"]), make_node("Div", ["a", "c"], ["y"])]
    return written(folder, nodes, [("a", INT, [None]), ("b", INT, [None])], [("y", INT, [None])], [one])


def prepared(file: Path, settings: Settings, **flags):
    return prepare(
        file,
        flags=ModelSettings(name="model", **flags),
        settings=settings,
        resolve_as_of=None,
        report=lambda *_, **__: None,
    )


def answers(package, model, settings: Settings, rows) -> tuple[str, list]:
    async def ask():
        async with standalone(package, model, settings=settings, report=lambda *_, **__: None) as pipeline:
            batch = RecordsDecoder(pipeline.runner.input_schema).decode(json.dumps(rows).encode()).batch
            answer = await predict(pipeline.runner, batch)
            return pipeline.steps[0].runtime, (str(answer.schema), rows_of(answer))

    return asyncio.run(ask())


def test_a_division_of_integers_runs_in_a_worker_with_the_reason(tmp_path, settings) -> None:
    package, model = prepared(dividing(tmp_path), settings)
    assert (model.runtime, model.adapter, model.examined) == (Runtime.ISOLATED, "onnx", True)
    assert "Div" in model.not_harmless
    assert model.environment is not None
    runtime, (_, rows) = answers(package, model, settings, [{"a": 6, "b": 1}, {"a": -9, "b": 2}])
    assert (runtime, rows) == ("isolated", [{"y": [3]}, {"y": [-3]}])


def test_a_harmless_graph_stays_native(tmp_path, settings) -> None:
    _, model = prepared(doubling(tmp_path), settings)
    assert (model.runtime, model.examined, model.not_harmless) == (Runtime.NATIVE, True, None)


def test_asking_for_the_gateways_process_is_refused_with_the_reason(tmp_path, settings) -> None:
    with pytest.raises(Invalid, match="cannot run in the gateway's process") as caught:
        prepared(dividing(tmp_path), settings, runtime=Runtime.NATIVE)
    assert (caught.value.reason, caught.value.path) == ("not_harmless", "runtime")
    assert "Div" in caught.value.why


def test_an_operator_can_trust_native_models(tmp_path, settings) -> None:
    _, model = prepared(dividing(tmp_path), replace(settings, trust_native=True))
    assert model.runtime is Runtime.NATIVE
    assert "Div" in model.not_harmless


def free_rows(folder: Path) -> Path:
    return doubling(folder)


def fixed_rows(folder: Path) -> Path:
    node = make_node("Add", ["x", "x"], ["y"])
    return written(folder, [node], [("x", FLOAT, [4, 2])], [("y", FLOAT, [4, 2])])


def free_lengths(folder: Path) -> Path:
    node = make_node("Add", ["x", "x"], ["y"])
    return written(folder, [node], [("x", FLOAT, [None, None])], [("y", FLOAT, [None, None])])


def one_value(folder: Path) -> Path:
    node = make_node("Identity", ["x"], ["y"])
    return written(folder, [node], [("x", TensorProto.INT64, [None])], [("y", TensorProto.INT64, [None])])


def no_rows(folder: Path) -> Path:
    node = make_node("Add", ["x", "x"], ["y"])
    return written(folder, [node], [("x", FLOAT, [])], [("y", FLOAT, [])])


def texts(folder: Path) -> Path:
    node = make_node("Identity", ["x"], ["y"])
    return written(folder, [node], [("x", TensorProto.STRING, [None, 1])], [("y", TensorProto.STRING, [None, 1])])


def optional(folder: Path) -> Path:
    factor = onnx.numpy_helper.from_array(np.array(10, np.float32), "factor")
    bias = onnx.numpy_helper.from_array(np.array([1, 2], np.float32), "bias")
    nodes = [make_node("Mul", ["x", "factor"], ["z"]), make_node("Add", ["z", "bias"], ["y"])]
    inputs = [("bias", FLOAT, [2]), ("x", FLOAT, [None, 2]), ("factor", FLOAT, [])]
    return written(folder, nodes, inputs, [("y", FLOAT, [None, 2])], [factor, bias])


@pytest.mark.parametrize(
    ("write", "rows"),
    [
        (optional, [{"x": [1, 2]}, {"x": [3, 4], "factor": None}, {"x": [5, 6], "factor": 2, "bias": [0, 0]}]),
        (free_rows, [{"x": [1.5, 2]}, {"x": [3, 4]}, {"x": [5, 6]}]),
        (fixed_rows, [{"x": [index, 2]} for index in range(7)]),
        (free_lengths, [{"x": [1]}, {"x": [1, 2, 3]}]),
        (one_value, [{"x": 3}, {"x": 4}]),
        (no_rows, [{"x": 3}, {"x": 4}]),
        (texts, [{"x": ["a"]}, {"x": ["ä"]}]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_worker_answers_as_the_native_session_does(tmp_path, settings, write, rows) -> None:
    file = write(tmp_path)
    trusting = replace(settings, trust_native=True)
    native = answers(*prepared(file, trusting, runtime=Runtime.NATIVE), trusting, rows)
    worker = answers(*prepared(file, settings, runtime=Runtime.ISOLATED), settings, rows)
    assert (native[0], worker[0]) == ("native", "isolated")
    assert worker[1] == native[1]


def looping(folder: Path) -> Path:
    """Turns as often as the largest row says."""
    turn = make_graph(
        [make_node("Identity", ["c"], ["c2"]), make_node("Identity", ["v"], ["v2"])],
        "turn",
        [
            make_tensor_value_info("i", TensorProto.INT64, []),
            make_tensor_value_info("c", TensorProto.BOOL, []),
            make_tensor_value_info("v", TensorProto.FLOAT, [1]),
        ],
        [make_tensor_value_info("c2", TensorProto.BOOL, []), make_tensor_value_info("v2", TensorProto.FLOAT, [1])],
    )
    nodes = [
        make_node("ReduceMax", ["n"], ["turns"], keepdims=0),
        make_node("Loop", ["turns", "", "one"], ["last"], body=turn),
        make_node("Cast", ["n"], ["float"], to=FLOAT),
        make_node("Mul", ["float", "last"], ["y"]),
    ]
    one = onnx.numpy_helper.from_array(np.array([1], np.float32), "one")
    return written(folder, nodes, [("n", TensorProto.INT64, [None])], [("y", FLOAT, [None])], [one])


def after_an_attack(file: Path, settings: Settings, *, attack, harmless, expected: type[TrivetError], **flags) -> list:
    """Send a row that the model does not survive, and then one that it answers, when the next worker is ready."""
    package, model = prepared(file, settings, **flags)

    async def story():
        async with standalone(package, model, settings=settings, report=lambda *_, **__: None) as pipeline:
            decoder = RecordsDecoder(pipeline.runner.input_schema)

            async def ask(row):
                return rows_of(await predict(pipeline.runner, decoder.decode(json.dumps([row]).encode()).batch))

            with pytest.raises(expected):
                await ask(attack)
            async with asyncio.timeout(60):
                while True:
                    try:
                        return await ask(harmless)
                    except (DeadlineExceeded, Unavailable):
                        await asyncio.sleep(0.1)

    return asyncio.run(story())


def test_a_row_that_crashes_the_model_ends_its_worker_only(tmp_path, settings) -> None:
    attack = {"a": -(2**31), "b": -2}
    answer = after_an_attack(
        dividing(tmp_path), settings, attack=attack, harmless={"a": 8, "b": 1}, expected=Unavailable
    )
    assert answer == [{"y": [4]}]


def test_a_row_that_loops_for_ever_ends_its_worker_at_the_deadline(tmp_path, settings) -> None:
    answer = after_an_attack(
        looping(tmp_path), settings, attack={"n": 2**62}, harmless={"n": 3}, expected=DeadlineExceeded, timeout_s=2.0
    )
    assert answer == [{"y": [3.0]}]


def described(path: Path, settings: Settings, *, memory_bytes: int | None = None):
    step = NativeStep(name="model", version="v", version_id=0, sha="0" * 64, framework="onnx", path=str(path))
    return describe(step, memory_bytes=memory_bytes, settings=settings)


@pytest.mark.skipif(landlock_abi() == 0, reason="this kernel has no Landlock")
def test_the_process_that_opens_an_uploaded_model_reads_its_folder_only(tmp_path, settings) -> None:
    other = tmp_path / "other"
    other.mkdir()
    linked = tmp_path / "package" / "model.onnx"
    linked.parent.mkdir()
    linked.symlink_to(doubling(other))
    assert described(linked, replace(settings, sandbox="off")).input_schema.names == ["x"]
    with pytest.raises(BadPackage, match="system error number 13"):
        described(linked, replace(settings, sandbox="required"))
    assert described(doubling(tmp_path), replace(settings, sandbox="required")).input_schema.names == ["x"]
    assert [each.name for each in (settings.home / "tmp").iterdir() if not each.name.startswith(".")] == []


def test_the_process_that_opens_an_uploaded_model_has_a_memory_limit(tmp_path, settings) -> None:
    size = onnx.numpy_helper.from_array(np.array([2**29], np.int64), "size")
    nodes = [
        make_node("ConstantOfShape", ["size"], ["zeros"]),
        make_node("ReduceSum", ["zeros"], ["none"], keepdims=0),
        make_node("Add", ["x", "none"], ["y"]),
    ]
    file = written(tmp_path, nodes, [("x", FLOAT, [None, 2])], [("y", FLOAT, [None, 2])], [size])
    with pytest.raises(BadPackage) as caught:
        described(file, settings, memory_bytes=2**30)
    assert (caught.value.reason, caught.value.why) == ("canned_row_failed", "std::bad_alloc")
