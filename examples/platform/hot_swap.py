"""A new version replaces the old one while clients send requests, and no request is lost.

python examples/platform/hot_swap.py
"""

# %% Two versions of one model
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from _platform import BUILD, connect
from onnx import TensorProto, helper, numpy_helper, save

from trivet import Framework


def times(factor: float) -> Path:
    """`x` float32[rows, 1] -> `y` float32[rows, 1], multiplied by a constant."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "times",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(np.float32(factor), "factor")],
    )
    BUILD.mkdir(exist_ok=True)
    path = BUILD / f"times-{factor:g}.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


rows = pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0], pa.float32()), 1)})

with connect() as client:
    two = client.upload_model("times", times(2), framework=Framework.ONNX)
    three = client.upload_model("times", times(3), framework=Framework.ONNX)
    print("versions:", [version.number for version in client.get_model("times").versions()])
    pipeline = client.build_pipeline("swapped").add_model_step(two)
    pipeline.deploy()

    # %% Clients send requests without a pause
    done = threading.Event()
    seen: list[float] = []
    failures: list[Exception] = []

    def ask() -> None:
        """An Arrow table in, an Arrow table out; failures are collected."""
        while not done.is_set():
            try:
                answer = pipeline.infer(rows)
            except Exception as error:  # noqa: BLE001 - any would be one too many
                failures.append(error)
                return
            first, second, third = (value[0] for value in answer["out.y"].to_pylist())
            assert (second, third) == (2 * first, 3 * first)
            seen.append(first)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client_thread in clients:
        client_thread.start()

    # %% Meanwhile the second version is deployed, then the first again
    for version in (three, two):
        time.sleep(0.5)
        pipeline.replace_with_model_step(0, version)
        pipeline.deploy()
    time.sleep(0.5)
    done.set()
    for client_thread in clients:
        client_thread.join()

    # %% Only the answers have changed
    print(f"{len(seen)} answers, {len(failures)} failures; answers were {sorted(set(seen))}")
    assert failures == []
    assert set(seen) == {2.0, 3.0}
    print("pipeline versions:", len(pipeline.versions()))
    pipeline.undeploy()
