"""Validations: conditions over inputs and outputs, counted for every row.

    python examples/platform/validations.py

They are polars expressions, which are an extra: pip install 'trivet[validations]'.
"""

# %% The fraud model again
import json

import pandas as pd
import polars as pl
from _platform import EXAMPLES, build, connect

from trivet import Framework

rows = pd.DataFrame(json.loads((EXAMPLES / "fraud_onnx" / "rows.json").read_text()))

with connect() as client:
    fraud = client.upload_model("ccfraud", build("fraud_onnx"), framework=Framework.ONNX)
    fraud = fraud.configure(tensor_fields=["tensor"])

    # %% True means anomaly
    pipeline = client.build_pipeline("checked").add_model_step(fraud)
    pipeline.add_validations(
        fraud=pl.col("out.dense_1").list.get(0) > 0.9,
        far_away=pl.col("in.tensor").list.get(0).abs() > 3.0,
    )
    pipeline.deploy()
    print(pipeline.steps())

    # %% One column for each, and their number
    answers = pipeline.infer(rows)
    print(answers[["out.dense_1", "anomaly.count", "anomaly.far_away", "anomaly.fraud"]])
    assert list(answers["anomaly.count"]) == [0, 2]
    pipeline.undeploy()
