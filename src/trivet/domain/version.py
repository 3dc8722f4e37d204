"""Workspaces, models, and the versions of a model: an upload and its state."""

from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

import msgspec
import pyarrow as pa

from trivet.domain.batching import Batching
from trivet.domain.digest import Digest
from trivet.domain.fault import Fault
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.memory_bounds import MemoryBounds
from trivet.domain.network import NetworkUse
from trivet.domain.onnx_calls import OnnxCalls
from trivet.domain.package import EntryPoint, ModelSettings
from trivet.domain.proof import Proof

__all__ = [
    "CONVERTED_FILE",
    "Acceleration",
    "Architecture",
    "Independence",
    "LoadedModel",
    "Model",
    "ModelConfig",
    "ModelVersion",
    "VersionStatus",
    "Workspace",
    "batching_of",
    "network_of",
]


CONVERTED_FILE: Final = "model.onnx"
"""What a converted file is called."""


class VersionStatus(StrEnum):
    """The states of an upload, by the reference's names."""

    PENDING_LOAD_NATIVE = "pending_load_native"
    ATTEMPTING_LOAD_NATIVE = "attempting_load_native"
    PENDING_LOAD_CONTAINER = "pending_load_container"
    ATTEMPTING_LOAD_CONTAINER = "attempting_load_container"
    READY = "ready"
    ERROR = "error"

    @property
    def is_final(self) -> bool:
        """Whether the status does not change any more."""
        return self in (VersionStatus.READY, VersionStatus.ERROR)


class Architecture(StrEnum):
    """The processor that a version is meant for."""

    X86 = "x86"
    ARM = "arm"
    POWER10 = "power10"


class Acceleration(StrEnum):
    """The accelerator that a version is meant for."""

    NONE = "none"
    CUDA = "cuda"
    JETSON = "jetson"
    OPENVINO = "openvino"
    QAIC = "qaic"
    AIO = "aio"
    ROCM = "rocm"


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of models and pipelines."""

    id: int
    name: str
    archived: bool
    created_by: str
    created_at: datetime


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A name in a workspace, under which versions are uploaded.

    Attributes:
        versions: how many there are.
    """

    id: int
    workspace_id: int
    name: str
    versions: int
    created_at: datetime
    updated_at: datetime


class Independence(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the answer to a row is the same whatever rows are beside it.

    Attributes:
        proved: whether it was for all rows that were tried.
        reason: what was found, as a clause: "the model answers at random".
    """

    proved: bool
    reason: str


NOT_COMPARED: Final = Independence(
    proved=False, reason="it was loaded by a release that did not compare rows; upload it again to have them compared"
)


class LoadedModel(msgspec.Struct, frozen=True, kw_only=True):
    """The result of loading a version: all that is needed to run it.

    Attributes:
        runtime: where it was proved to run.
        not_harmless: why its graph was not proved harmless; None if it was, or if it was not examined.
        bounds: of the memory of its calls, if its graph was proved harmless.
        native_fault: how it ended or blocked a gateway; None if it did not. It runs in workers from then on.
        onnx: how rows become calls of it, if a worker runs its ONNX session.
        adapter: how a worker loads it; of no meaning where it runs natively.
        entry: entry points by role: `inference` and `builder`, or `function`.
        files: paths inside its package by role: the `model` file.
        model_file: the `model` file, as versions say it that were loaded before there were roles.
        converted: digest of the file that its own was converted to, which runs natively in its place.
        proof: whether the converted file answers as the model does; None where there is no converter, or it was not asked for.
        settings: those of the upload over those of the package.
        input_schema: under which batches go in, tensor fields already renamed.
        output_schema: under which they come out.
        answered: whether it answered its canned row when it was uploaded. A model may refuse a made-up row, and is then sent
            requests without having answered any.
        refusal: why it did not answer its made-up row, with how to give an example.
        independence: whether its answer to a row depends on the rows beside it; None where its trial did not compare any.
        protections: what the sandbox of its worker held when it was tried; None if it ran natively or was not asked.
        environment: digest of the environment; None for an ONNX model that runs natively.
        requirements: the environment's PEP 508 lines …
        packages: … and the packages that they resolved to, `name==version` in order of name, for a rebuild.
        python_version: of the environment.
        notes: for its owner (a Python that was chosen, a pair of versions that was avoided).
    """

    runtime: Runtime
    not_harmless: str | None = None
    bounds: MemoryBounds | None = None
    native_fault: str | None = None
    onnx: OnnxCalls | None = None
    adapter: str | None = None
    model_file: str | None = None
    entry: dict[str, EntryPoint] = {}
    files: dict[str, str] = {}
    converted: Digest | None = None
    proof: Proof | None = None
    settings: ModelSettings = ModelSettings()
    input_schema: pa.Schema
    output_schema: pa.Schema
    answered: bool = False
    refusal: Fault | None = None
    independence: Independence | None = None
    protections: tuple[str, ...] | None = None
    environment: Digest | None = None
    requirements: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    python_version: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_untried(self) -> bool:
        """Whether it was checked and not run, because it is built for another kind of machine."""
        return self.refusal is not None and self.refusal.reason == "other_machine"

    @property
    def examined(self) -> bool:
        """Whether its graph was examined; that of a version of an earlier release was not."""
        return self.bounds is not None or self.not_harmless is not None

    @property
    def is_session(self) -> bool:
        """Whether an ONNX session answers, in the gateway's process or in workers."""
        return self.runtime is Runtime.NATIVE or self.onnx is not None

    @property
    def own(self) -> "LoadedModel":
        """The model as it runs in workers, from the file that was uploaded."""
        return msgspec.structs.replace(self, runtime=Runtime.ISOLATED, converted=None, bounds=None, not_harmless=None)

    @property
    def native_file(self) -> str | None:
        """What a native session opens: the `model` file inside the package, or the converted file, which lies alone."""
        return CONVERTED_FILE if self.converted is not None else self.files.get("model", self.model_file)


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a version is to run. Every call of `configure` creates one; none is ever changed.

    Attributes:
        input_schema: given for this configuration; None leaves the version's own.
        batch_config: which rows share a call, whatever its trial found.
        max_batch_delay_ms: how long a request may wait for others to share a call; None does not wait.
        batch_size_target: rows that a call waits for, at most `max_batch_delay_ms`.
        batch_size_limit: rows that a call may have.
        runtime: where it is to run; None leaves it to Trivet.
        network: whether its workers may use the network; None leaves the version's own.
    """

    id: int
    version_id: int
    tensor_fields: tuple[str, ...] | None = None
    batch_config: Batching | None = None
    input_schema: pa.Schema | None = None
    output_schema: pa.Schema | None = None
    max_batch_delay_ms: int | None = None
    batch_size_target: int | None = None
    batch_size_limit: int | None = None
    runtime: Runtime | None = None
    network: NetworkUse | None = None

    @property
    def batches_dynamically(self) -> bool:
        """Whether requests wait for each other, which is to share a call."""
        return (self.max_batch_delay_ms, self.batch_size_target, self.batch_size_limit) != (None, None, None)


def batching_of(loaded: LoadedModel, config: ModelConfig | None) -> tuple[Batching, str]:
    """Which rows of a version share a call under a configuration, and why."""
    asked = (config and config.batch_config) or loaded.settings.batch_config
    if asked is not None:
        return asked, "its configuration says so"
    if config is not None and config.batches_dynamically:
        return "joined", "its configuration lets requests wait for each other"
    if config is not None and config.input_schema is not None and config.input_schema != loaded.input_schema:
        return "whole", "its configuration has another input schema than the one whose rows were compared"
    found = loaded.independence or NOT_COMPARED
    return ("joined" if found.proved else "whole"), found.reason


def network_of(loaded: LoadedModel, config: ModelConfig | None) -> NetworkUse:
    """Whether the workers of a version may use the network under a configuration, where the operator allows it."""
    return (config and config.network) or loaded.settings.network or "full"


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One upload of a model.

    Attributes:
        id: counts all versions of all models; `uuid` names it.
        number: counts the versions of its model, from 1.
        file_name: what the uploaded file was called.
        sha: sha256 of the uploaded bytes, under which the blob store has them.
        size: in bytes.
        settings: those of the upload.
        fault: why its status is `error`.
        loaded: None until it is `ready`.
        config: its newest configuration.
    """

    id: int
    uuid: str
    model_id: int
    name: str
    workspace_id: int
    number: int
    file_name: str
    sha: Digest
    size: int
    framework: Framework
    arch: Architecture
    accel: Acceleration
    visibility: Literal["private", "public"]
    settings: ModelSettings
    status: VersionStatus
    fault: Fault | None
    loaded: LoadedModel | None
    config: ModelConfig | None
    created_by: str
    created_at: datetime
    updated_at: datetime

    @property
    def log_name(self) -> str:
        """The name of its workers' log: the log of one version does not explain the failure of another."""
        return f"{self.name}-{self.uuid[:8]}"

    @property
    def trouble(self) -> Fault | None:
        """Why its status is `error`, or why it is ready without having answered a row."""
        return self.fault or (self.loaded.refusal if self.loaded else None)
