"""Two steps: a Python step computes features from facts about a house, an ONNX model a price from features.

python examples/platform/two_steps.py
"""

# %% The Python step brings its schemas in a trivet.yaml; the model is a linear one
import json
from pathlib import Path

import numpy as np
import pandas as pd
from _platform import BUILD, EXAMPLES, connect, zipped
from onnx import TensorProto, helper, numpy_helper, save

from trivet import DeploymentConfigBuilder, Framework

FEATURES = 18


def price_model() -> Path:
    """`tensor` float32[rows, 18] -> `price` float32[rows, 1]: a price for each square foot, less for every year."""
    weights = np.zeros((FEATURES, 1), dtype=np.float32)
    weights[2], weights[15] = 300.0, -500.0
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["tensor", "weights"], ["price"])],
        "price",
        [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["rows", FEATURES])],
        [helper.make_tensor_value_info("price", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(weights, "weights")],
    )
    BUILD.mkdir(exist_ok=True)
    path = BUILD / "price.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


step_zip = zipped("preprocess_step", "house_features.py", "trivet.yaml")
houses = pd.DataFrame(json.loads((EXAMPLES / "preprocess_step" / "rows.json").read_text()))

with connect() as client:
    # %% The step runs in a worker with its own environment; the model in the gateway
    features = client.upload_model("house-features", step_zip, framework=Framework.PYTHON)
    price = client.upload_model("house-price", price_model(), framework=Framework.ONNX)
    print(features.config().runtime(), price.config().runtime())

    # %% The output `tensor` of the first step is the input `tensor` of the second
    pipeline = client.build_pipeline("houses").add_model_step(features).add_model_step(price)
    config = DeploymentConfigBuilder().sidekick_cpus(features, 1).sidekick_memory(features, "1Gi").build()
    pipeline.deploy(deployment_config=config)
    print(pipeline.steps())

    # %% The answer has the last step's outputs and the sent rows
    answers = pipeline.infer(houses)
    print(answers[["in.sqft_living", "in.yr_built", "out.price"]])
    assert "out.tensor" not in answers
    assert answers["out.price"][0][0] > 0

    # %% A step that does not fit is refused at the deploy, with the reason
    try:
        client.build_pipeline("the-wrong-way-round").add_model_step(price).add_model_step(features).deploy()
    except Exception as error:  # noqa: BLE001 - shown to the reader
        print(f"{type(error).__name__}: {error}")

    pipeline.undeploy()
