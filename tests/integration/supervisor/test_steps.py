"""What a version and a configuration come to as a step."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from trivet.domain.digest import digest_of_bytes
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.package import ModelSettings
from trivet.domain.version import (
    Acceleration,
    Architecture,
    Independence,
    LoadedModel,
    ModelConfig,
    ModelVersion,
    VersionStatus,
    batching_of,
)
from trivet.loading.steps import Identity, native_step, worker_step

X = pa.schema([pa.field("x", pa.float32())])
TENSOR = pa.schema([pa.field("tensor", pa.float32())])
NOW = datetime.now(UTC)


def version(loaded: LoadedModel) -> ModelVersion:
    return ModelVersion(
        id=7,
        uuid="u",
        model_id=1,
        name="m",
        workspace_id=1,
        number=1,
        file_name="m.onnx",
        sha=digest_of_bytes(b""),
        size=0,
        framework=Framework.ONNX,
        arch=Architecture.X86,
        accel=Acceleration.NONE,
        visibility="private",
        settings=loaded.settings,
        status=VersionStatus.READY,
        fault=None,
        loaded=loaded,
        config=None,
        created_by="me",
        created_at=NOW,
        updated_at=NOW,
    )


def loaded(*, independence: Independence | None = None, **options: Any) -> LoadedModel:
    return LoadedModel(
        independence=independence,
        runtime=Runtime.NATIVE,
        adapter="onnx",
        model_file="m.onnx",
        settings=ModelSettings(**options),
        input_schema=X,
        output_schema=X,
    )


def config(**options: Any) -> ModelConfig:
    return ModelConfig(id=1, version_id=7, **options)


def test_a_native_step_has_the_uploads_settings() -> None:
    model = loaded(input_schema=X, example=({"x": 1.0},), timeout_s=3.0, batch_config="single")
    step = native_step(Identity.of(version(model)), model, None, root=Path("/p"))
    assert (step.version, step.version_id, step.path) == ("u", 7, "/p/m.onnx")
    assert (step.input_schema, step.output_schema, step.tensor_fields) == (X, None, None)
    assert (step.example, step.timeout_s, step.batch_config) == (({"x": 1.0},), 3.0, "single")


def test_a_configuration_that_renames_tensors_drops_the_old_names() -> None:
    model = loaded(input_schema=X, example=({"x": 1.0},))
    step = native_step(Identity.of(version(model)), model, config(tensor_fields=("tensor",)), root=Path("/p"))
    assert step.tensor_fields == ("tensor",)
    assert step.input_schema is None
    assert step.example == ()
    configuration = config(tensor_fields=("tensor",), input_schema=TENSOR)
    assert native_step(Identity.of(version(model)), model, configuration, root=Path("/p")).input_schema == TENSOR


def test_an_isolated_step_has_schemas_and_batching_of_its_configuration() -> None:
    model = loaded(batch_config="single")
    bare = worker_step(Identity.of(version(model)), model, None)
    assert (bare.input_schema, bare.batch_config, bare.batch_size_limit, bare.workers) == (X, "single", None, ())
    configuration = config(input_schema=TENSOR, max_batch_delay_ms=5, batch_size_target=4, batch_size_limit=8)
    step = worker_step(Identity.of(version(model)), model, configuration)
    assert (step.input_schema, step.output_schema, step.batch_config) == (TENSOR, X, "single")
    assert (step.max_batch_delay_ms, step.batch_size_target, step.batch_size_limit) == (5, 4, 8)


PROVED = Independence(proved=True, reason="rows of 2 kinds got the same answers alone and beside others")
DIFFER = Independence(proved=False, reason="a row that was sent twice got two answers")


def test_requests_share_calls_only_if_that_was_proved() -> None:
    def batching(model: LoadedModel, configuration: ModelConfig | None = None) -> str | None:
        identity = Identity.of(version(model))
        native = native_step(identity, model, configuration, root=Path("/p"))
        isolated = worker_step(identity, model, configuration)
        assert native.batch_config == isolated.batch_config
        return isolated.batch_config

    assert batching(loaded(independence=PROVED)) == "joined"
    # A route of an earlier release does not say it: None is one call for each request.
    assert batching(loaded(independence=DIFFER)) is None
    assert batching(loaded()) is None
    assert batching(loaded(independence=PROVED, batch_config="single")) == "single"
    assert batching(loaded(independence=PROVED, batch_config="whole")) is None
    assert batching(loaded(independence=DIFFER), config(batch_config="joined")) == "joined"
    assert batching(loaded(independence=DIFFER), config(max_batch_delay_ms=5)) == "joined"
    assert batching(loaded(independence=PROVED), config(input_schema=X)) == "joined"
    assert batching(loaded(independence=PROVED), config(input_schema=TENSOR)) is None


def test_the_reason_for_batching_is_what_was_found() -> None:
    assert batching_of(loaded(independence=DIFFER), None) == ("whole", DIFFER.reason)
    assert batching_of(loaded(), None) == (
        "whole",
        "it was loaded by a release that did not compare rows; upload it again to have them compared",
    )
    assert batching_of(loaded(batch_config="joined"), None) == ("joined", "its configuration says so")
