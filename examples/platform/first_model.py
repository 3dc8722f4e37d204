"""A first model on the platform: upload, deploy, ask, look at the log.

    python examples/platform/first_model.py

It starts a platform of its own and ends it again. With `trivet up` running somewhere, set TRIVET_URL (and TRIVET_TOKEN, if it
runs on another machine) to use that one instead.
"""

# %% A model as an exporter writes it
import json

import pandas as pd
from _platform import EXAMPLES, build, connect

from trivet import Framework

fraud_file = build("fraud_onnx")
rows = pd.DataFrame(json.loads((EXAMPLES / "fraud_onnx" / "rows.json").read_text()))

with connect() as client:
    # %% Upload it. Its own input is called `dense_input`; our data call it `tensor`.
    fraud = client.upload_model("ccfraud", fraud_file, framework=Framework.ONNX).configure(tensor_fields=["tensor"])
    print(fraud)

    # %% Deploy it
    pipeline = client.build_pipeline("ccfraud").add_model_step(fraud)
    pipeline.deploy()
    print(pipeline.status()["status"])

    # %% Ask it: a DataFrame in, a DataFrame out
    answers = pipeline.infer(rows)
    print(answers[["time", "out.dense_1", "anomaly.count"]])
    assert [round(probability, 3) for [probability] in answers["out.dense_1"]] == [0.009, 0.999]

    # %% The same over HTTP, as any client would
    print("POST", pipeline.url())

    # %% What was asked and answered is kept
    print(pipeline.logs(limit=10)[["time", "out.dense_1"]])

    # %% Done
    pipeline.undeploy()
    print(pipeline.status())
