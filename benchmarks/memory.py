"""How much memory does a custom model cost when idle, and does anything grow over 100,000 requests?

PSS (each shared page divided among those who share it) of the gateway and all processes below it, from /proc.

`uv run python benchmarks/memory.py [--requests 100000]`; needs wrk and Linux.
"""

import argparse
import tempfile
from pathlib import Path

import psutil
from harness import Load, make_models, print_report, trivet_server, wrk

SCHEMAS = ("--input-schema", "tensor: float32[29]", "--output-schema", "dense_1: float32[1]")


def pss_mib(process: psutil.Process) -> float:
    """PSS of a process and its children, in MiB."""
    return sum(each.memory_full_info().pss for each in (process, *process.children(recursive=True))) / 2**20


def open_files(process: psutil.Process) -> int:
    """File descriptors of a process and its children."""
    return sum(each.num_fds() for each in (process, *process.children(recursive=True)))


def main() -> None:
    """Measure idle, then after ever more requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = make_models(Path(folder))
        with trivet_server(files.byop, *SCHEMAS) as (url, server):
            process = psutil.Process(server.pid)
            idle = pss_mib(process)
            load = Load(f"{url}/infer", files.one_json)
            sent = 0.0
            series = []
            while sent < options.requests:
                sent += wrk(load, seconds=3) * 3
                series.append(
                    {"requests": round(sent), "pss_mib": round(pss_mib(process), 1), "fds": open_files(process)}
                )
    half = series[len(series) // 2]
    results = {
        "idle PSS, MiB (at most 250)": round(idle, 1),
        "growth over the second half, MiB": round(series[-1]["pss_mib"] - half["pss_mib"], 1),
        "growth of open files over the second half": series[-1]["fds"] - half["fds"],
        "series": series,
    }
    print_report("Memory of the gateway and one worker without a framework", results)


if __name__ == "__main__":
    main()
