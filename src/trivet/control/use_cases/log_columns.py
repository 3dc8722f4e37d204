"""The columns of a pipeline's log that has no rows yet."""

import pyarrow as pa

from trivet.control.context import Control
from trivet.control.use_cases.models import schemas_of
from trivet.control.use_cases.steps import validations_of
from trivet.domain.pipeline import ModelStep, PipelineVersion
from trivet.errors import TrivetError

__all__ = ["log_columns"]

METADATA = {
    "dropped": pa.list_(pa.string()),
    "elapsed": pa.list_(pa.field("steps", pa.uint64(), nullable=False)),
    "last_model": pa.string(),
    "partition": pa.string(),
    "pipeline_version": pa.string(),
}


def log_columns(control: Control, version: PipelineVersion) -> pa.Table:
    """A table without rows, with the columns that rows of a pipeline's version would have; only `time` if its models are not
    loaded, or it has no steps.
    """
    columns: dict[str, pa.DataType] = {"time": pa.timestamp("ms")}
    models = [step for step in version.steps if isinstance(step, ModelStep)]
    try:
        if models:
            inputs, outputs = _schemas(control, models[0])[0], _schemas(control, models[-1])[1]
            columns |= {f"in.{name}": inputs.field(name).type for name in sorted(inputs.names)}
            columns |= {f"out.{name}": outputs.field(name).type for name in sorted(outputs.names)}
            columns["anomaly.count"] = pa.uint32()
            columns |= {
                f"anomaly.{name}": pa.bool_() for name in sorted(each.name for each in validations_of(version.steps))
            }
            columns |= {f"metadata.{name}": kind for name, kind in METADATA.items()}
    except TrivetError:
        columns = {"time": pa.timestamp("ms")}
    return pa.schema(columns.items()).empty_table()


def _schemas(control: Control, step: ModelStep) -> tuple[pa.Schema, pa.Schema]:
    config = None if step.config_id is None else control.catalog.models.config(step.config_id)
    return schemas_of(control.catalog.models.version(step.version), config)
