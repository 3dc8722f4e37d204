"""What a version and a configuration come to as a step."""

import io
from datetime import UTC, datetime
from importlib.metadata import version as release
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from trivet.blobs import Blobs, open_blobs
from trivet.domain.digest import digest_of_bytes
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.package import ModelSettings
from trivet.domain.proof import Proof, Refused
from trivet.domain.routes import NativeStep, WorkerStep
from trivet.domain.runtimes import check_runtime, why_not_converted
from trivet.domain.version import (
    Acceleration,
    Architecture,
    Independence,
    LoadedModel,
    ModelConfig,
    ModelVersion,
    VersionStatus,
    batching_of,
    network_of,
)
from trivet.errors import Invalid
from trivet.loading.steps import Identity, Steps, native_step, worker_step
from trivet.settings import Settings

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


def test_the_network_is_that_of_the_newest_word() -> None:
    assert network_of(loaded(), None) == "full"
    assert network_of(loaded(network="none"), None) == "none"
    assert network_of(loaded(network="none"), config()) == "none"
    assert network_of(loaded(network="none"), config(network="full")) == "full"
    assert network_of(loaded(), config(network="none")) == "none"


class Records:
    """The catalog's models, as `StepRecords` says."""

    def __init__(self, kept: ModelVersion, configuration: ModelConfig | None = None) -> None:
        self.kept = kept
        self.configuration = configuration
        self.recorded: list[LoadedModel] = []
        self.lines: list[tuple[str, str]] = []
        self.events: list[tuple[str, str]] = []
        self.step: NativeStep | None = None

    def version(self, id_or_uuid: int | str) -> ModelVersion:
        return self.kept

    def config(self, config_id: int) -> ModelConfig:
        assert self.configuration is not None
        return self.configuration

    def set_loaded(self, version_id: int, loaded: LoadedModel) -> None:
        self.recorded.append(loaded)
        self.kept = msgspec.structs.replace(self.kept, loaded=loaded)

    def log_upload(self, version_id: int, *, level: str, stage: str, text: str) -> None:
        self.lines.append((level, text))

    def add_event(self, *, workspace_id: int, subject: str, subject_id: str, kind: str, text: str) -> None:
        assert (subject, subject_id) == ("model_version", self.kept.uuid)
        self.events.append((kind, text))


def of_an_earlier_release(home: Path, *, op: str) -> tuple[ModelVersion, Blobs]:
    """A version that an earlier release loaded natively, without a verdict about its graph."""
    kind = TensorProto.INT32 if op == "Div" else TensorProto.FLOAT
    columns = [helper.make_tensor_value_info(name, kind, [None]) for name in ("x", "by")]
    one = helper.make_tensor("one", kind, [1], [1])
    nodes = [helper.make_node("Add", ["by", "one"], ["more"]), helper.make_node(op, ["x", "more"], ["y"])]
    graph = helper.make_graph(nodes, "model", columns, [helper.make_tensor_value_info("y", kind, [None])], [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data = model.SerializeToString()
    blobs = open_blobs(None, home=home)
    blobs.put(io.BytesIO(data), digest=digest_of_bytes(data))
    known = LoadedModel(
        runtime=Runtime.NATIVE, adapter="onnx", files={"model": "model.onnx"}, input_schema=X, output_schema=X
    )
    return msgspec.structs.replace(version(known), sha=digest_of_bytes(data), file_name="model.onnx"), blobs


def test_a_version_of_an_earlier_release_is_examined_and_moves_to_workers(free_home) -> None:
    kept, blobs = of_an_earlier_release(free_home, op="Div")
    records = Records(kept)
    step, work = Steps(records, journal=records, blobs=blobs, settings=Settings(home=free_home)).prepare(("u", None))
    assert isinstance(step, WorkerStep)
    assert step.input_schema.names == ["x", "by"]
    (recorded,) = records.recorded
    assert (recorded.runtime, recorded.examined) == (Runtime.ISOLATED, True)
    assert "Div" in recorded.not_harmless
    with work() as spec:
        assert (spec.adapter, spec.onnx.columns, spec.files) == ("onnx", ("x", "by"), {"model": "model.onnx"})
    Steps(records, journal=records, blobs=blobs, settings=Settings(home=free_home)).prepare(("u", None))
    assert len(records.recorded) == 1, "it is examined once"


def test_a_harmless_version_of_an_earlier_release_stays_native(free_home) -> None:
    kept, blobs = of_an_earlier_release(free_home, op="Sub")
    records = Records(kept)
    step, work = Steps(records, journal=records, blobs=blobs, settings=Settings(home=free_home)).prepare(("u", None))
    assert isinstance(step, NativeStep)
    assert work is None
    assert [(each.runtime, each.examined, each.not_harmless) for each in records.recorded] == [
        (Runtime.NATIVE, True, None)
    ]
    assert step.bounds == records.kept.loaded.bounds
    assert step.bounds.row_bytes > 0


def test_a_configuration_moves_a_harmless_version_to_workers(free_home) -> None:
    kept, blobs = of_an_earlier_release(free_home, op="Sub")
    records = Records(kept, config(runtime=Runtime.ISOLATED, tensor_fields=("a", "b"), network="none"))
    step, work = Steps(records, journal=records, blobs=blobs, settings=Settings(home=free_home)).prepare(("u", 1))
    assert isinstance(step, WorkerStep)
    assert step.input_schema.names == ["a", "b"]
    assert records.kept.loaded.runtime is Runtime.NATIVE
    with work() as spec:
        assert (spec.onnx.columns, spec.network) == (("a", "b"), False)


def test_a_configuration_that_asks_for_native_is_refused_with_the_reason(free_home) -> None:
    kept, blobs = of_an_earlier_release(free_home, op="Div")
    records = Records(kept, config(runtime=Runtime.NATIVE))
    with pytest.raises(Invalid, match="cannot run in the gateway's process") as caught:
        Steps(records, journal=records, blobs=blobs, settings=Settings(home=free_home)).prepare(("u", 1))
    assert caught.value.reason == "not_harmless"
    trusted = Settings(home=free_home, trust_native=True)
    step, _ = Steps(records, journal=records, blobs=blobs, settings=trusted).prepare(("u", 1))
    assert isinstance(step, NativeStep)
    assert records.kept.loaded.runtime is Runtime.NATIVE


def test_a_version_that_ended_a_gateway_moves_to_workers_for_good(free_home) -> None:
    kept, blobs = of_an_earlier_release(free_home, op="Sub")
    how = "the gateway ended while it ran this model (killed by SIGFPE)"
    for configuration in (None, config(runtime=Runtime.NATIVE)):
        records = Records(kept, configuration)
        key = ("u", None if configuration is None else 1)
        faulty = Steps(
            records, journal=records, blobs=blobs, settings=Settings(home=free_home), native_faults=lambda: {"u": how}
        )
        step, work = faulty.prepare(key)
        assert isinstance(step, WorkerStep)
        assert work is not None
        assert (records.kept.loaded.native_fault, records.kept.loaded.runtime) == (how, Runtime.ISOLATED)
        text = f"m version 1 moves to workers for good: {how}"
        assert records.events == [("moved_to_workers", text)]
        assert records.lines == [("warning", text)]
        # It stays there without the gateway's report, and whatever the operator trusts.
        trusted = Settings(home=free_home, trust_native=True)
        step, _ = Steps(records, journal=records, blobs=blobs, settings=trusted).prepare(key)
        assert isinstance(step, WorkerStep)
        assert len(records.events) == 1
    with pytest.raises(Invalid, match="does not run in the gateway's process any more") as caught:
        check_runtime(records.kept, Runtime.NATIVE, trust_native=True, onnxruntime="1")
    assert (caught.value.reason, caught.value.why) == ("native_fault", how)


PROOF = Proof(
    equal=True,
    reason="its converted file gave the same answers to 2,000 rows, up to 1e-07",
    rows=2000,
    largest=1e-7,
    tolerance=1e-5,
    converter="skl2onnx 1.20.0",
    onnxruntime=release("onnxruntime"),
    refused=Refused(nan=True),
)


def proved(home: Path, *, proof: Proof = PROOF) -> tuple[ModelVersion, Blobs]:
    """A version of scikit-learn that runs as its converted file; its environment does not exist."""
    kept, blobs = of_an_earlier_release(home, op="Sub")
    known = msgspec.structs.replace(
        kept.loaded, adapter="sklearn", files={"model": "model.joblib"}, converted=kept.sha, proof=proof
    )
    return msgspec.structs.replace(kept, framework=Framework.SKLEARN, loaded=known, file_name="model.joblib"), blobs


def prepared(home: Path, kept: ModelVersion, blobs: Blobs, *, runtime: Runtime | None = None, how: str = "") -> Records:
    """The records, after the version's step was prepared; `step` is that of the gateway, None in workers."""
    records = Records(kept, None if runtime is None else config(runtime=runtime))
    steps = Steps(
        records,
        journal=records,
        blobs=blobs,
        settings=Settings(home=home),
        native_faults=lambda: {"u": how} if how else {},
    )
    records.step = steps._converted(kept, kept.loaded, records.configuration)
    return records


def test_a_proved_version_runs_as_its_converted_file(free_home) -> None:
    kept, blobs = proved(free_home)
    records = Records(kept)
    step, work = Steps(records, journal=records, blobs=blobs, settings=Settings(home=free_home)).prepare(("u", None))
    assert (work, records.recorded) == (None, [])
    assert isinstance(step, NativeStep)
    assert (step.refused, step.input_schema, step.output_schema) == (Refused(nan=True), X, X)
    assert Path(step.path).name == "model.onnx"


def test_the_own_form_of_a_proved_version_is_its_package(free_home) -> None:
    kept, _ = proved(free_home)
    own = kept.loaded.own
    assert (own.runtime, own.native_file, own.adapter) == (Runtime.ISOLATED, "model.joblib", "sklearn")


def test_a_configuration_moves_a_proved_version_to_workers(free_home) -> None:
    records = prepared(free_home, *proved(free_home), runtime=Runtime.ISOLATED)
    assert (records.step, records.recorded) == (None, [])
    assert prepared(free_home, *proved(free_home), runtime=Runtime.NATIVE).step is not None


def test_another_onnxruntime_needs_another_proof(free_home) -> None:
    kept, blobs = proved(free_home, proof=msgspec.structs.replace(PROOF, onnxruntime="1.0.0"))
    records = prepared(free_home, kept, blobs)
    assert records.step is None
    assert records.kept.loaded.runtime is Runtime.ISOLATED
    why = why_not_converted(records.kept.loaded, onnxruntime="2.0.0")
    assert why == (
        "its conversion was proved with ONNX Runtime 1.0.0, and this installation has 2.0.0; upload it again to prove it again"
    )
    with pytest.raises(Invalid) as caught:
        prepared(free_home, records.kept, blobs, runtime=Runtime.NATIVE)
    assert caught.value.reason == "not_proved"
    # The release that it was proved with is installed again.
    assert why_not_converted(records.kept.loaded, onnxruntime="1.0.0") is None


def test_a_converted_file_that_ended_a_gateway_leaves_it_for_good(free_home) -> None:
    records = prepared(free_home, *proved(free_home), how="the gateway ended while it ran this model")
    assert (records.step, records.kept.loaded.runtime) == (None, Runtime.ISOLATED)
    assert prepared(free_home, records.kept, proved(free_home)[1]).step is None


def test_native_is_refused_with_the_reason_where_it_was_not_proved(free_home) -> None:
    kept, _ = proved(free_home)
    check_runtime(kept, Runtime.NATIVE, trust_native=False, onnxruntime=release("onnxruntime"))
    check_runtime(kept, Runtime.ISOLATED, trust_native=False, onnxruntime="1.0.0")
    known = kept.loaded.own
    failed = msgspec.structs.replace(known, proof=Proof(equal=False, reason="the converted file answers otherwise"))
    kept = msgspec.structs.replace(kept, loaded=failed)
    with pytest.raises(Invalid, match="the model cannot run in the gateway's process") as caught:
        check_runtime(kept, Runtime.NATIVE, trust_native=True, onnxruntime=release("onnxruntime"))
    assert (caught.value.reason, caught.value.why) == ("not_proved", "the converted file answers otherwise")
    check_runtime(kept, Runtime.ISOLATED, trust_native=False, onnxruntime="1.0.0")
