"""The specification of a worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from trivet.domain.deployment import Resources
from trivet.domain.digest import Digest
from trivet.domain.onnx_calls import OnnxCalls
from trivet.domain.package import EntryPoint

__all__ = ["WorkerSpec"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSpec:
    """What a worker runs: one model in one environment. Only the launcher knows where it runs and where its files are.

    Attributes:
        name: the model's name, a DNS label.
        package: the package's digest.
        environment: the environment's digest.
        adapter: how the worker loads it, a key of `trivet_worker.adapters.ADAPTERS`.
        entry: entry points by role: `inference` and `builder` of a custom model, `function` of a Python step.
        files: paths inside the package by role: the `model` file.
        onnx: how rows become calls, for the adapter `onnx`.
        input_schema: one column a field, in this order.
        output_schema: of the model's answers.
        memory_bytes: limit on the worker's memory, with shared memory and the processes that it starts; None for none.
        open_files: limit on its open files; None for the system's.
        network: whether it may use the network, where the launcher allows it to any worker.
        load_timeout_s: from its start until it must be ready.
        resources: what its deployment grants; its memory limit counts before `memory_bytes`.
        workers: how many run this at once: together they share the cores where `resources` does not say how many they get.
        fleet: which workers it belongs to; an adopted worker says so, too.
        devices: GPUs of one worker's own, by the names that CUDA has for them.
        log_name: its log's name, if each version of a model has its own; by default the model's.
    """

    name: str
    package: Digest
    environment: Digest
    adapter: str
    entry: Mapping[str, EntryPoint]
    files: Mapping[str, str] = field(default_factory=dict)
    onnx: OnnxCalls | None = None
    input_schema: pa.Schema
    output_schema: pa.Schema
    memory_bytes: int | None = None
    open_files: int | None = None
    network: bool = True
    load_timeout_s: float = 600.0
    resources: Resources = field(default_factory=Resources)
    workers: int = 1
    fleet: str = ""
    devices: tuple[str, ...] = ()
    log_name: str | None = None

    @property
    def memory_limit(self) -> int | None:
        """The limit on its memory: what its deployment grants, or else its own."""
        return self.resources.memory_bytes or self.memory_bytes
