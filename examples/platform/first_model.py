"""A first model on the platform: upload, deploy, send rows, read the log.

    python examples/platform/first_model.py

It starts its own platform and stops it. To use a running one, set TRIVET_URL (and TRIVET_TOKEN, if it runs on another machine).
"""

# %% A model as an exporter writes it
import json

import pandas as pd
from _platform import EXAMPLES, build, connect

from trivet import Framework

fraud_file = build("fraud_onnx")
rows = pd.DataFrame(json.loads((EXAMPLES / "fraud_onnx" / "rows.json").read_text()))

with connect() as client:
    # %% Upload it. The model calls its input `dense_input`; our data calls it `tensor`.
    fraud = client.upload_model("ccfraud", fraud_file, framework=Framework.ONNX).configure(tensor_fields=["tensor"])
    print(fraud)

    # %% Deploy it
    pipeline = client.build_pipeline("ccfraud").add_model_step(fraud)
    pipeline.deploy()
    print(pipeline.status()["status"])

    # %% Send rows: a DataFrame in, a DataFrame out
    answers = pipeline.infer(rows)
    print(answers[["time", "out.dense_1", "anomaly.count"]])
    assert [round(probability, 3) for [probability] in answers["out.dense_1"]] == [0.009, 0.999]

    # %% The same over HTTP, as any client would
    print("POST", pipeline.url())

    # %% Requests and answers are logged
    print(pipeline.logs(limit=10)[["time", "out.dense_1"]])

    # %% Done
    pipeline.undeploy()
    print(pipeline.status())
