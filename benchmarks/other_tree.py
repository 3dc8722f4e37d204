"""Is this tree as fast as another checkout of it? Both serve the same models, one after the other in each round.

`uv run python benchmarks/other_tree.py PATH [--seconds 3] [--rounds 7]`; needs wrk, and `make .venv/.ready` in the other tree.
"""

import argparse
import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness import ARROW, ROOT, Load, compare, make_models, platform_server, print_report, trivet_server, wrk
from isolated_http import SCHEMAS
from platform_http import scale_model

from trivet import DeploymentConfigBuilder, Framework


@contextmanager
def platform_urls(trivet: Path, folder: Path, home: Path, onnx: Path) -> Iterator[dict[str, str]]:
    """A platform of a tree with three pipelines, each with its address."""
    with platform_server(home, trivet=trivet) as platform:
        client = platform.client
        dense = client.upload_model("dense", onnx, framework=Framework.ONNX)
        scale = client.upload_model("scale", folder / "scale.onnx", framework=Framework.ONNX)
        scale = scale.configure(tensor_fields=["tensor"])
        plain = DeploymentConfigBuilder().log_inferences(False).build()
        client.build_pipeline("one").add_model_step(dense).deploy(deployment_config=plain)
        client.build_pipeline("two").add_model_step(scale).add_model_step(dense).deploy(deployment_config=plain)
        client.build_pipeline("logged").add_model_step(dense).deploy()
        yield {name: f"{platform.infer_url}/pipelines/{name}/infer" for name in ("one", "two", "logged")}


def main() -> None:
    """Compare the rates of ten kinds of request, and their geometric mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    trees = {"other": options.other.resolve(), "this": ROOT}
    cases: dict[str, dict[str, Load]] = {}
    results = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        files = make_models(folder)
        scale_model(folder / "scale.onnx")
        for side, tree in trees.items():
            trivet = tree / ".venv" / "bin" / "trivet"
            native, _ = stack.enter_context(trivet_server(files.onnx, trivet=trivet))
            isolated, _ = stack.enter_context(trivet_server(files.byop, *SCHEMAS, trivet=trivet))
            urls = stack.enter_context(platform_urls(trivet, folder, folder / f"home-{side}", files.onnx))
            loads = {
                "native, 1 row, JSON": Load(f"{native}/infer", files.one_json),
                "native, 1000 rows, JSON": Load(f"{native}/infer", files.thousand_json),
                "native, 1000 rows, JSON, outputs alone": Load(f"{native}/infer?dataset[]=out", files.thousand_json),
                "native, 1000 rows, Arrow": Load(f"{native}/infer", files.thousand_arrow, ARROW),
                "native, 1000 rows, Arrow, outputs alone": Load(
                    f"{native}/infer?dataset[]=out", files.thousand_arrow, ARROW
                ),
                "worker, 1 row, JSON": Load(f"{isolated}/infer", files.one_json),
                "worker, 1000 rows, Arrow": Load(f"{isolated}/infer", files.thousand_arrow, ARROW),
                "platform, one step, 1 row, JSON": Load(urls["one"], files.one_json),
                "platform, two steps, 1 row, JSON": Load(urls["two"], files.one_json),
                "platform, logged, 1 row, JSON": Load(urls["logged"], files.one_json),
            }
            for case, load in loads.items():
                cases.setdefault(case, {})[side] = load
        for case, sides in cases.items():
            runs = {side: lambda load=load: wrk(load, seconds=options.seconds) for side, load in sides.items()}
            results[case] = compare(runs, baseline="other", rounds=options.rounds)
    ratios = [result["this"]["ratio"] for result in results.values()]
    summary = {
        "geometric mean": round(math.prod(ratios) ** (1 / len(ratios)), 3),
        "lowest": min(ratios),
    }
    print_report("This tree against another one, requests a second, 16 connections", {**results, **summary})


if __name__ == "__main__":
    main()
