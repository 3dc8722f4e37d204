"""Bodies of the control API."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from trivet.domain.batching import Batching
from trivet.domain.frameworks import Framework, Runtime, listed_frameworks
from trivet.domain.network import NetworkUse
from trivet.domain.version import Acceleration, Architecture

__all__ = ["Configure", "Deploy", "NewPipeline", "NewTag", "NewUpload", "NewWorkspace", "StepBody", "ValidationBody"]

_SCHEMA_FORM = "as base64 of Arrow's IPC form or as short text"
_TENSOR_FIELDS = "Column names for the inputs, in the model's order."
_BATCH_CONFIG = (
    "What is a call: a `single` row, a `whole` request, or `joined` requests. Null joins requests where that was proved not to "
    "change answers."
)
_NETWORK = "Whether its code may use the network: `full` or `none`. Null leaves it to the package; the operator's setting is a limit."


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)


class NewWorkspace(_Body):
    """A workspace."""

    name: str = Field(description="Its name: letters, digits, dots, dashes and underscores.")


class NewTag(_Body):
    """A tag."""

    tag: str = Field(description="Its text: at most 200 printable characters.")


class NewUpload(_Body):
    """The description of a model's file, sent before its bytes. Schemas are base64 of Arrow's IPC form, or the short text."""

    name: str = Field(description="The model's name: lower-case letters, digits and dashes.")
    file_name: str = Field(description="The file's name; its suffix can name the framework.")
    framework: Framework = Field(description=f"What kind of model it is: {listed_frameworks()}.")
    workspace: str = Field("default", description="A workspace's name.")
    size: int | None = Field(None, ge=0, le=2**63 - 1, description="In bytes, if known.")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="The bytes' digest, to be checked.")
    input_schema: str | None = Field(None, description=f"What a row holds, {_SCHEMA_FORM}; null takes the model's own.")
    output_schema: str | None = Field(
        None, description=f"What an answer holds, {_SCHEMA_FORM}; null takes the model's own."
    )
    suggested_schema: str | None = Field(
        None, description=f"What a row holds by the example, {_SCHEMA_FORM}: for a model without an input schema."
    )
    example: list[dict[str, Any]] | None = Field(
        None, max_length=100, description="Rows that the model must answer before it is ready."
    )
    arch: Architecture | None = Field(
        None, description="The processor that it is built for; null: this machine's. On another it is not run."
    )
    accel: Acceleration = Field(
        Acceleration.NONE, description="The accelerator that it is built for. Without that it is not run."
    )
    trust: bool = Field(
        False,
        description="Load a pickle or code that the check refuses: it runs in a worker. The upload log has what it names.",
    )
    visibility: Literal["private", "public"] = Field(
        "private", description="The intended audience; for information only."
    )
    python: str | None = Field(None, description="The Python version, as in 3.10.")
    tensor_fields: list[str] | None = Field(None, description=_TENSOR_FIELDS)
    batch_config: Batching | None = Field(None, description=_BATCH_CONFIG)
    network: NetworkUse | None = Field(None, description=_NETWORK)
    allow_nulls: bool | None = Field(
        None,
        description="Whether a Python step takes nulls where its schema is nullable. Null: only if the schema is a text.",
    )


class Configure(_Body):
    """How a version runs."""

    tensor_fields: list[str] | None = Field(None, description=_TENSOR_FIELDS)
    batch_config: Batching | None = Field(None, description=_BATCH_CONFIG)
    runtime: Runtime | None = Field(
        None,
        description="Where it runs: isolated in workers, native in the gateway's process; null leaves it to Trivet.",
    )
    network: NetworkUse | None = Field(None, description=_NETWORK)
    input_schema: str | None = Field(None, description=f"What a row holds, {_SCHEMA_FORM}; null takes the version's.")
    output_schema: str | None = Field(
        None, description=f"What an answer holds, {_SCHEMA_FORM}; null takes the version's."
    )
    max_batch_delay_ms: int | None = Field(None, ge=0, le=60_000, description="How long a request may wait for others.")
    batch_size_target: int | None = Field(None, ge=1, le=2**31 - 1, description="Rows that a call waits for.")
    batch_size_limit: int | None = Field(None, ge=1, le=2**31 - 1, description="Rows that a call may have.")


class NewPipeline(_Body):
    """A pipeline, without steps."""

    name: str = Field(description="Its name: lower-case letters, digits and dashes.")
    workspace: str = Field("default", description="A workspace's name.")


class ValidationBody(_Body):
    """A condition: a polars expression in polars' own JSON form. True means anomaly."""

    name: str = Field(description="Its column in answers is `anomaly.<name>`.")
    expression: str = Field(description='What `polars.Expr.meta.serialize(format="json")` gives.')


class ModelStepBody(_Body):
    """A model version."""

    step: Literal["model"] = Field(description="Which kind of step it is.")
    version: str = Field(description="Its UUID.")
    config_id: int | None = Field(
        None, ge=1, le=2**63 - 1, description="A configuration of it; null runs it as it was uploaded."
    )
    name: str | None = Field(None, description="The model's name; the version alone decides.")
    sha: str | None = Field(None, description="The digest of its file; the version alone decides.")


class CheckStepBody(_Body):
    """Validations of the step before."""

    step: Literal["check"] = Field(description="Which kind of step it is.")
    validations: list[ValidationBody] = Field(description="Conditions over the columns of requests and answers.")


StepBody = Annotated[ModelStepBody | CheckStepBody, Field(discriminator="step")]


class Deploy(_Body):
    """Steps to run, or an earlier version of the pipeline."""

    steps: list[StepBody] | None = Field(
        default=None,
        description='In order: `{"step": "model", "version": <UUID>, "config_id"?}`, and after a model '
        '`{"step": "check", "validations": [{"name", "expression"}]}`.',
    )
    version: str | None = Field(None, description="UUID of an earlier pipeline version, instead of steps.")
    config: dict[str, Any] = Field(
        default_factory=dict, description="Resources, as the reference's DeploymentConfigBuilder builds them."
    )
    log_inferences: bool = Field(True, description="Whether requests and answers are logged.")
