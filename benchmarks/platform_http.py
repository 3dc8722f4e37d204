"""What does the platform cost a prediction, against `trivet serve` of the same model? And its log, and a second step?

`uv run python benchmarks/platform_http.py [--seconds 4] [--rounds 5]`; needs wrk.
"""

import argparse
import tempfile
from pathlib import Path

from harness import Load, compare, make_models, platform_server, print_report, trivet_server, wrk

from trivet import DeploymentConfigBuilder, Framework


def scale_model(path: Path) -> None:
    """`tensor` float32[29] to itself, for a first step."""
    from onnx import TensorProto, helper, save_model

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 29]) for name in ("raw", "tensor")]
    graph = helper.make_graph([helper.make_node("Neg", ["raw"], ["tensor"])], "scale", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    save_model(model, path)


def main() -> None:
    """One row of JSON, 16 connections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = make_models(Path(folder))
        scale_model(Path(folder) / "scale.onnx")
        with (
            trivet_server(files.onnx) as (serve, _),
            platform_server(Path(folder) / "home") as platform,
        ):
            client = platform.client
            dense = client.upload_model("dense", files.onnx, framework=Framework.ONNX)
            scale = client.upload_model("scale", Path(folder) / "scale.onnx", framework=Framework.ONNX)
            scale = scale.configure(tensor_fields=["tensor"])
            plain = DeploymentConfigBuilder().log_inferences(False).build()
            client.build_pipeline("one").add_model_step(dense).deploy(deployment_config=plain)
            client.build_pipeline("two").add_model_step(scale).add_model_step(dense).deploy(deployment_config=plain)
            client.build_pipeline("logged").add_model_step(dense).deploy()
            urls = {
                "trivet serve": f"{serve}/infer",
                "platform, one step, no log": f"{platform.infer_url}/pipelines/one/infer",
                "platform, one step, logged": f"{platform.infer_url}/pipelines/logged/infer",
                "platform, two steps, no log": f"{platform.infer_url}/pipelines/two/infer",
            }
            sides = {
                name: lambda url=url: wrk(Load(url, files.one_json), seconds=options.seconds)
                for name, url in urls.items()
            }
            results = compare(sides, baseline="trivet serve", rounds=options.rounds)
    one = results["platform, one step, no log"]["ratio"]
    results["two steps against one"] = round(results["platform, two steps, no log"]["ratio"] / one, 3)
    print_report("The platform against trivet serve: 1 row, JSON, in full, requests a second, 16 connections", results)


if __name__ == "__main__":
    main()
