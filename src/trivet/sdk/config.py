"""How a pipeline is to run, in the reference's form."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from trivet.domain.quantities import check_cpus, check_gpus, check_replicas, parse_memory
from trivet.errors import Invalid, Unsupported

__all__ = ["DeploymentConfigBuilder", "DynamicBatchingConfig"]

LOG = "log_inferences"


@dataclass(frozen=True, slots=True)
class DynamicBatchingConfig:
    """Lets requests wait for each other, so that they share a call of the model.

    Attributes:
        max_batch_delay_ms: how long a request may wait, in milliseconds.
        batch_size_target: rows to wait for.
        batch_size_limit: rows of a call at most; None leaves it to the platform.
    """

    max_batch_delay_ms: int = 10
    batch_size_target: int = 4
    batch_size_limit: int | None = None


class DeploymentConfigBuilder:
    """Builds a deployment configuration. Native models are sized by `cpus` and `memory`, those in workers by `sidekick_*`.

    An invalid value is refused at once: `Invalid`.

    Example:
        `DeploymentConfigBuilder().replica_count(2).cpus(0.5).memory("1Gi").build()`
    """

    def __init__(self) -> None:
        self._engine: dict[str, Any] = {}
        self._images: dict[str, dict[str, Any]] = {}
        self._labels: dict[str, str] = {}
        self._log = True

    def replica_count(self, count: int) -> Self:
        """The number of workers for each model that needs them."""
        self._engine["replicas"] = check_replicas(count, path="replica_count")
        return self

    def cpus(self, count: float) -> Self:
        """Processors for native models: how many threads one call may use, rounded up."""
        check_cpus(count, path="cpus")
        self._engine["cpu"] = count
        _resources(self._engine)["cpu"] = count
        return self

    def memory(self, amount: str) -> Self:
        """Memory for native models, as in `1Gi`. They share the gateway's process, where it is not enforced."""
        parse_memory(amount, path="memory")
        _resources(self._engine)["memory"] = amount
        return self

    def gpus(self, count: int) -> Self:
        """Graphics processors for native models; only 0 is supported yet."""
        if count:
            raise Unsupported(
                "GPUs for models that run in the gateway are not supported yet",
                fix="leave gpus out; sidekick_gpus gives GPUs to a model in a worker",
            )
        return self

    def arch(self, arch: Any) -> Self:
        """The processor: a deploy on a machine with another one is refused."""
        self._engine["arch"] = str(getattr(arch, "value", arch))
        return self

    def deployment_label(self, label: str) -> Self:
        """A node label, stored with the deployment; it has no effect on one machine."""
        name, _, value = label.partition(":")
        self._labels[name.strip()] = value.strip()
        return self

    def replica_autoscale_min_max(self, maximum: int, minimum: int = 0) -> Self:
        """Not supported yet."""
        raise Unsupported(
            "autoscaling is not supported yet", fix="give a replica_count", why=f"{minimum} to {maximum} replicas"
        )

    def sidekick_cpus(self, model: Any, count: float) -> Self:
        """Processors for a model in a worker: how many threads its libraries start, rounded up."""
        check_cpus(count, path="sidekick_cpus")
        _resources(self._image(model))["cpu"] = count
        return self

    def sidekick_memory(self, model: Any, amount: str) -> Self:
        """Memory for a model in a worker, as in `8Gi`; beyond it allocations fail."""
        parse_memory(amount, path="sidekick_memory")
        _resources(self._image(model))["memory"] = amount
        return self

    def sidekick_gpus(self, model: Any, count: int) -> Self:
        """Graphics processors for each worker of a model, which no other worker uses."""
        if check_gpus(count, path="sidekick_gpus"):
            _resources(self._image(model))["gpu"] = count
        return self

    def sidekick_env(self, model: Any, environment: Mapping[str, str]) -> Self:
        """Environment variables for a model in a worker."""
        self._image(model)["env"] = [{"name": name, "value": str(value)} for name, value in environment.items()]
        return self

    def log_inferences(self, wanted: bool) -> Self:
        """Whether requests and answers are kept for `logs`; True by default."""
        self._log = wanted
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.build()})"

    def build(self) -> dict[str, Any]:
        """The configuration, as a dictionary."""
        engine = copy.deepcopy(self._engine)
        for each in (engine, *(images := copy.deepcopy(self._images)).values()):
            limits = each.get("resources", {}).get("limits")
            if limits is not None:
                each["resources"]["requests"] = dict(limits)
        document: dict[str, Any] = {
            "engine": engine,
            "enginelb": {},
            "engineAux": {"images": images},
            "node_selector": dict(self._labels),
        }
        if not self._log:
            document[LOG] = False
        return document

    def _image(self, model: Any) -> dict[str, Any]:
        try:
            key = f"{model.name()}-{model.id()}"
        except (AttributeError, TypeError):
            raise Invalid(f"{model!r} is not a model version", fix="give what upload_model returned") from None
        return self._images.setdefault(key, {})


def _resources(model: dict[str, Any]) -> dict[str, Any]:
    limits: dict[str, Any] = model.setdefault("resources", {}).setdefault("limits", {})
    return limits
