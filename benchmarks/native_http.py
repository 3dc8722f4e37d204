"""How much of a hand-written app's rate is left when an ONNX model is served by Trivet?

`uv run python benchmarks/native_http.py [--seconds 4] [--rounds 5]`; needs wrk.
"""

import argparse
import tempfile
from pathlib import Path

from harness import ARROW, Load, bare_server, compare, make_models, print_report, trivet_server, wrk


def main() -> None:
    """Compare five kinds of request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        files = make_models(Path(folder))
        with bare_server(files.onnx) as bare, trivet_server(files.onnx) as (trivet, _):
            cases = {
                "1 row, JSON, in full": (
                    Load(f"{bare}/infer", files.one_json),
                    Load(f"{trivet}/infer", files.one_json),
                ),
                "1000 rows, JSON, in full": (
                    Load(f"{bare}/infer", files.thousand_json),
                    Load(f"{trivet}/infer", files.thousand_json),
                ),
                "1000 rows, JSON, outputs alone": (
                    Load(f"{bare}/infer", files.thousand_json),
                    Load(f"{trivet}/infer?dataset[]=out", files.thousand_json),
                ),
                "1000 rows, Arrow file, in full": (
                    Load(f"{bare}/arrow", files.thousand_arrow, ARROW),
                    Load(f"{trivet}/infer", files.thousand_arrow, ARROW),
                ),
                "1000 rows, Arrow file, outputs alone": (
                    Load(f"{bare}/arrow", files.thousand_arrow, ARROW),
                    Load(f"{trivet}/infer?dataset[]=out", files.thousand_arrow, ARROW),
                ),
            }
            for name, (theirs, ours) in cases.items():
                sides = {
                    "bare": lambda load=theirs: wrk(load, seconds=options.seconds),
                    "trivet": lambda load=ours: wrk(load, seconds=options.seconds),
                }
                results[name] = compare(sides, baseline="bare", rounds=options.rounds)
    print_report("Trivet's native path against a hand-written app, requests a second, 16 connections", results)


if __name__ == "__main__":
    main()
