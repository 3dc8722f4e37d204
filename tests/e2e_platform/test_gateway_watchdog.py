"""A gateway that is ended or blocked by a model, or by anything else: others are answered again within moments."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import requests
from onnx import TensorProto, helper, numpy_helper, save

from trivet_tests.waiting import eventually

ROW = [{"x": [1.0, 2.0]}]
# In every process of the platform but its workers: a signal blocks the event loop.
BLOCKS = """
import signal, sys, time
if "trivet.wiring.child" in sys.orig_argv:
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600))
"""


def test_a_gateway_that_hangs_is_replaced(platform_in, times, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKS)
    running = platform_in(TRIVET_GATEWAY_HANG_S="1", PYTHONPATH=str(tmp_path)).start()
    running.deploy("fine", running.upload("three", times(3.0)))
    hung = running.pid("gateway")
    os.kill(hung, signal.SIGUSR1)

    def answers() -> bool:
        try:
            return running.infer("fine", ROW, timeout=1).ok and running.pid("gateway") != hung
        except (requests.RequestException, LookupError):
            return False

    eventually(answers, running.log)
    said = running.log()
    assert "the gateway process hangs: sending SIGABRT" in said
    assert "Fatal Python error: Aborted" in said
    assert "the gateway process ended (killed by SIGABRT); restarting it" in said


def test_a_stopped_gateway_or_supervisor_is_not_ready(platform_in) -> None:
    running = platform_in(TRIVET_GATEWAY_HANG_S="1").start()

    def ready() -> int:
        return requests.get(f"{running.control_url}/readyz", timeout=60).status_code

    for role in ("gateway", "supervisor"):
        pid = running.pid(role)
        os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: ready() == 503, running.log)
        finally:
            os.kill(pid, signal.SIGCONT)
        eventually(lambda: ready() == 200, running.log)
        assert running.pid(role) == pid


def test_a_native_model_that_ends_the_gateway_moves_to_a_worker_for_good(platform_in, times, tmp_path: Path) -> None:
    divide = tmp_path / "divide.onnx"
    numbers = [helper.make_tensor_value_info(name, TensorProto.INT32, ["rows"]) for name in ("a", "b", "y")]
    graph = helper.make_graph(
        name="divide",
        inputs=numbers[:2],
        outputs=numbers[2:],
        initializer=[numpy_helper.from_array(np.array(1, dtype=np.int32), "one")],
        nodes=[helper.make_node("Add", ["b", "one"], ["c"]), helper.make_node("Div", ["a", "c"], ["y"])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(divide))
    running = platform_in(TRIVET_TRUST_NATIVE="true").start()
    running.deploy("fine", running.upload("three", times(3.0)))
    version = running.upload("divide", divide)
    for name in ("divide", "other"):
        running.deploy(name, version)
    assert running.infer("divide", [{"a": 6, "b": 1}]).json()[0]["out"]["y"] == [3]
    ended = running.pid("gateway")
    with pytest.raises(requests.ConnectionError):
        running.infer("divide", [{"a": -(2**31), "b": -2}])

    def answer(pipeline: str, row: dict) -> dict | None:
        try:
            got = running.infer(pipeline, [row], timeout=30)
        except requests.RequestException:
            return None
        return got.json()[0]["out"] if got.status_code == 200 else None

    assert eventually(lambda: answer("fine", ROW[0]), running.log)
    assert running.pid("gateway") != ended
    for name in ("divide", "other"):
        assert eventually(lambda: answer(name, {"a": 8, "b": 1}), running.log) == {"y": [4]}  # noqa: B023
    ended = running.pid("gateway")
    # Now the row ends a worker, which is replaced, and nothing else.
    assert running.infer("divide", [{"a": -(2**31), "b": -2}]).status_code == 503
    assert eventually(lambda: answer("divide", {"a": 9, "b": 2}), running.log) == {"y": [3]}
    assert running.pid("gateway") == ended
    how = "the gateway ended while it ran this model (killed by SIGFPE)"
    text = f"divide version 1 moves to workers for good: {how}"
    assert [
        each["text"]
        for each in running.call("GET", "/v1/events?limit=1000")["events"]
        if each["kind"] == "moved_to_workers"
    ] == [text]
    assert (
        running.call("GET", f"/v1/versions/{version['uuid']}")["where_why"] == f"{how}, so it moved to workers for good"
    )
