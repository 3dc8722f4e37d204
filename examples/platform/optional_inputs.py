"""A custom model (BYOP) whose inputs may be left out.

python examples/platform/optional_inputs.py
"""

# %% The package, and its schemas in Arrow
import pandas as pd
import pyarrow as pa
from _platform import connect, zipped

from trivet import Framework

package = zipped("optional_inputs", "custom_inference.py", "requirements.txt")
inputs = pa.schema(
    [
        pa.field("input_1", pa.list_(pa.float32()), nullable=False),
        pa.field("input_2", pa.list_(pa.float32())),
        pa.field("multiply_factor", pa.int32()),
    ]
)
outputs = pa.schema([pa.field("output", pa.list_(pa.float32()), nullable=False)])

with connect() as client:
    # %% Its environment is built once; the upload prints progress
    model = client.upload_model(
        "optional-inputs", package, framework=Framework.CUSTOM, input_schema=inputs, output_schema=outputs
    )
    print(model.status(), model.config().runtime())

    pipeline = client.build_pipeline("optional-inputs").add_model_step(model)
    pipeline.deploy()

    # %% With all inputs, and with required ones only
    everything = pd.DataFrame([{"input_1": [1.0, 2.0], "input_2": [5.0, 6.0], "multiply_factor": 2}])
    print(pipeline.infer(everything)["out.output"][0])
    least = pd.DataFrame([{"input_1": [3.0, 4.0, 5.0], "input_2": [], "multiply_factor": None}])
    print(pipeline.infer(least)["out.output"][0])
    assert pipeline.infer(everything)["out.output"][0] == [12.0, 16.0]
    assert pipeline.infer(least)["out.output"][0] == [3.0, 4.0, 5.0]

    # %% The log of its loading
    print(model.get_upload_logs())
    pipeline.undeploy()
