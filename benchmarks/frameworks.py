"""How much faster is a converted model in the gateway's process than in a worker? And how long does its upload take?

`uv run python benchmarks/frameworks.py [--seconds 4] [--rounds 5]`; needs wrk. The first run builds environments.
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

from harness import Load, compare, platform_server, print_report, wrk

from trivet import DeploymentConfigBuilder
from trivet.domain.environment import EnvironmentSpec
from trivet.domain.schema import parse_schema
from trivet.envs import EnvironmentStore

AUTHOR = """
import sys, joblib, numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rows = np.random.RandomState(0).rand(300, 4)
joblib.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, rows[:, 0] > rows[:, 1]), sys.argv[1])
"""
ROW = b'[{"inputs": [0.1, 0.2, 0.3, 0.4]}]'
REQUIREMENTS = ("scikit-learn==1.9.1", "joblib>=1.2", "pandas")


def main() -> None:
    """One row of JSON, 16 connections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        home = folder / "home"
        file, body = folder / "logistic.joblib", folder / "row.json"
        body.write_bytes(ROW)
        environment = EnvironmentStore(home / "envs", environ=os.environ).ensure(
            EnvironmentSpec(requirements=REQUIREMENTS)
        )
        subprocess.run([environment.python, "-c", AUTHOR, file], check=True)
        with platform_server(home) as platform:
            client = platform.client
            given = {
                "input_schema": parse_schema("inputs: float64[4]"),
                "output_schema": parse_schema("predictions: bool; probabilities: float64[2]"),
            }
            client.upload_model("first", file, **given)
            started = time.monotonic()
            native = client.upload_model("logistic", file, **given)
            upload_s = time.monotonic() - started
            assert native.document()["where"] == "native", native.document()["where_why"]
            plain = DeploymentConfigBuilder().log_inferences(False).build()
            client.build_pipeline("native").add_model_step(native).deploy(deployment_config=plain)
            isolated = client.upload_model("isolated", file, **given).configure(runtime="isolated")
            client.build_pipeline("isolated").add_model_step(isolated).deploy(deployment_config=plain)
            load = {name: Load(f"{platform.infer_url}/pipelines/{name}/infer", body) for name in ("isolated", "native")}
            sides = {name: lambda each=each: wrk(each, seconds=options.seconds) for name, each in load.items()}
            results = compare(sides, baseline="isolated", rounds=options.rounds)
    results["upload to ready, environments cached, s"] = round(upload_s, 2)
    print_report(
        "scikit-learn, native against isolated: 1 row, JSON, in full, requests a second, 16 connections", results
    )


if __name__ == "__main__":
    main()
