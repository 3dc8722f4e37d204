"""What does a worker of its own cost? A custom model in its environment against a hand-written app for the same model.

Also: what the same ONNX model answers in a worker, against the native path, and how much longer a lone request takes through a
custom model's worker, at the median.

`uv run python benchmarks/isolated_http.py [--seconds 4] [--rounds 5]`; needs wrk.
"""

import argparse
import http.client
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from harness import ARROW, RECORDS, Load, bare_server, compare, make_models, print_report, trivet_server, wrk

SCHEMAS = ("--input-schema", "tensor: float32[29]", "--output-schema", "dense_1: float32[1]")


def lone_ms(url: str, body: bytes, *, count: int = 1500) -> float:
    """The median time of a request when no other is under way, in milliseconds."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    times = []
    for _ in range(count):
        start = time.perf_counter()
        connection.request("POST", "/infer", body, {"Content-Type": RECORDS})
        answer = connection.getresponse()
        answer.read()
        times.append((time.perf_counter() - start) * 1000)
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}")
    connection.close()
    return statistics.median(times)


def main() -> None:
    """Compare rates, then lone requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        files = make_models(Path(folder))
        with (
            bare_server(files.onnx) as bare,
            trivet_server(files.byop, *SCHEMAS) as (isolated, _),
            trivet_server(files.onnx) as (native, _),
            trivet_server(files.onnx, "--runtime", "isolated") as (onnx, _),
        ):
            cases = {
                "1 row, JSON, in full": (
                    Load(f"{bare}/infer", files.one_json),
                    Load(f"{isolated}/infer", files.one_json),
                ),
                "1000 rows, Arrow file, in full": (
                    Load(f"{bare}/arrow", files.thousand_arrow, ARROW),
                    Load(f"{isolated}/infer", files.thousand_arrow, ARROW),
                ),
            }
            for name, (theirs, ours) in cases.items():
                sides = {
                    "bare": lambda load=theirs: wrk(load, seconds=options.seconds),
                    "trivet": lambda load=ours: wrk(load, seconds=options.seconds),
                }
                results[name] = compare(sides, baseline="bare", rounds=options.rounds)
            results["an ONNX model, 1 row, JSON, in full"] = compare(
                {
                    name: lambda url=url: wrk(Load(f"{url}/infer", files.one_json), seconds=options.seconds)
                    for name, url in {"native": native, "in a worker": onnx}.items()
                },
                baseline="native",
                rounds=options.rounds,
            )
            body = files.one_json.read_bytes()
            lone = compare(
                {"native": lambda: lone_ms(native, body), "isolated": lambda: lone_ms(isolated, body)},
                baseline="native",
                rounds=options.rounds,
            )
            lone["more_ms"] = round(lone["isolated"]["median"] - lone["native"]["median"], 3)
            results["a lone request, median ms"] = lone
    print_report("A custom model in a worker against a hand-written app, 16 connections", results)


if __name__ == "__main__":
    main()
