"""What do 200 deployed tiny pipelines cost: memory in all, and the time of a request to one of them?

`uv run python benchmarks/platform_many.py [--pipelines 200] [--rounds 5]`; needs wrk and Linux.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
from harness import Load, compare, make_models, platform_server, print_report, wrk
from memory import pss_mib
from onnx import TensorProto, helper, numpy_helper, save_model

from trivet import Client, Framework


def tiny_model(path: Path, factor: float) -> Path:
    """`tensor` float32[29] times a number: no two of them are the same bytes."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["tensor", "factor"], ["scaled"])],
        "tiny",
        [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["rows", 29])],
        [helper.make_tensor_value_info("scaled", TensorProto.FLOAT, ["rows", 29])],
        [numpy_helper.from_array(np.float32(factor), "factor")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    save_model(model, path)
    return path


def deploy(client: Client, folder: Path, *, count: int) -> None:
    """So many models, each in a pipeline of its own."""
    versions = [
        client.upload_model(
            f"tiny-{n}", tiny_model(folder / f"tiny-{n}.onnx", n + 1), framework=Framework.ONNX, convert_wait=False
        )
        for n in range(count)
    ]
    for n, version in enumerate(versions):
        version.wait()
        client.build_pipeline(f"tiny-{n}").add_model_step(version).deploy(wait_for_status=False)
    for n in range(count):
        client.get_pipeline(f"tiny-{n}").wait_until_running()


def main() -> None:
    """One platform with a single pipeline, one with many, asked in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipelines", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        files = make_models(Path(folder))
        few = stack.enter_context(platform_server(Path(folder) / "few"))
        many = stack.enter_context(platform_server(Path(folder) / "many"))
        deploy(few.client, Path(folder), count=1)
        deploy(many.client, Path(folder), count=options.pipelines)
        process = psutil.Process(many.process.pid)
        idle = pss_mib(process)
        sides = {
            name: lambda url=server.infer_url: wrk(
                Load(f"{url}/pipelines/tiny-0/infer", files.one_json), seconds=options.seconds
            )
            for name, server in (("one pipeline", few), (f"{options.pipelines} pipelines", many))
        }
        rates = compare(sides, baseline="one pipeline", rounds=options.rounds)
        results = {
            f"PSS of all processes with {options.pipelines} pipelines, MiB (under 1024)": round(idle, 1),
            "PSS with one, MiB": round(pss_mib(psutil.Process(few.process.pid)), 1),
            "requests a second": rates,
        }
    print_report("Many deployed pipelines", results)


if __name__ == "__main__":
    main()
