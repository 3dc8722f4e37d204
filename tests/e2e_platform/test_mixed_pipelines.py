"""Pipelines whose ONNX steps run in the gateway's process and in workers, and steps that move between the two."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from trivet_tests.asking import Asking
from trivet_tests.platform import Platform
from trivet_tests.waiting import eventually

ROW = [{"x": [1.0, 2.0]}]


def times(folder: Path, factor: float, *, takes: str, gives: str) -> Path:
    path = folder / f"{takes}-{gives}.onnx"
    graph = helper.make_graph(
        name="times",
        inputs=[helper.make_tensor_value_info(takes, TensorProto.FLOAT, ["rows", 2])],
        outputs=[helper.make_tensor_value_info(gives, TensorProto.FLOAT, ["rows", 2])],
        initializer=[numpy_helper.from_array(np.array(factor, dtype=np.float32), "factor")],
        nodes=[helper.make_node("Mul", [takes, "factor"], [gives])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def isolated(running: Platform, version: dict[str, Any]) -> dict[str, Any]:
    """The version under a configuration that runs it in a worker."""
    made = running.call("POST", f"/v1/versions/{version['uuid']}/configurations", json={"runtime": "isolated"})
    return {**version, "config_id": made["id"]}


def workers(deployment: dict[str, Any]) -> list[str]:
    return [worker["model"] for worker in deployment["status"]["workers"]]


def test_steps_in_the_gateway_and_in_workers_answer_together(shared_platform: Platform, tmp_path: Path) -> None:
    running = shared_platform
    names = (("first", 2.0, "x", "a"), ("second", 3.0, "a", "b"), ("third", 5.0, "b", "y"))
    first, second, third = (
        running.upload(name, times(tmp_path, factor, takes=takes, gives=gives)) for name, factor, takes, gives in names
    )
    rows = [{"x": [float(index), -0.5]} for index in range(300)]
    for steps, apart in (
        ((first, isolated(running, second), third), ["second"]),
        ((isolated(running, first), second, isolated(running, third)), ["first", "third"]),
    ):
        assert workers(running.deploy("mixed", *steps)) == apart
        for some in (rows, rows[7:8]):
            answer = running.infer("mixed", some)
            assert answer.status_code == 200, answer.text
            assert [row["out"]["y"] for row in answer.json()] == [[30 * row["x"][0], -15.0] for row in some]
    # The command line's flag makes the same configuration.
    path = times(tmp_path, 7.0, takes="x", gives="y")
    uploaded = running.trivet("upload", "apart", path, "--runtime", "isolated", "--json")
    assert uploaded.returncode == 0, uploaded.stderr
    assert running.trivet("deploy", "apart", "apart").returncode == 0
    assert workers(running.call("GET", "/v1/pipelines/apart/deployment")["deployment"]) == ["apart"]
    assert running.infer("apart", ROW).json()[0]["out"]["y"] == [7.0, 14.0]


def test_a_step_moves_to_a_worker_and_back_under_requests(shared_platform: Platform, tmp_path: Path) -> None:
    running = shared_platform
    before = running.upload("before", times(tmp_path, 2.0, takes="x", gives="a"))
    native = running.upload("moves", times(tmp_path, 4.0, takes="a", gives="y"))
    apart = isolated(running, native)
    running.deploy("moving", before, native)
    with Asking(f"{running.infer_url}/pipelines/moving/infer", ROW) as asking:
        for turn in range(4):
            deployment = running.deploy("moving", before, native if turn % 2 else apart)
            assert workers(deployment) == ([] if turn % 2 else ["moves"])
            asked = len(asking.answers)
            eventually(lambda: len(asking.answers) > asked + 50 or asking.failures)  # noqa: B023
    assert asking.failures == []
    assert set(asking.answers) == {8.0}
