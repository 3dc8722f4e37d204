"""Deployments: a pipeline version that is to run, and its state."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import msgspec

from trivet.domain.fault import Fault

__all__ = ["Deployment", "DeploymentConfig", "DeploymentState", "DeploymentStatus", "Resources", "WorkerStatus"]


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What one step may use.

    Attributes:
        cpus: how many threads its libraries start, rounded up; None leaves it to Trivet.
        memory_bytes: limit on a worker's memory, with shared memory and the processes that it starts.
        gpus: devices of its own for each worker.
        env: variables for a worker's environment.
    """

    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: int = 0
    env: dict[str, str] = {}


class DeploymentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a pipeline is to run.

    Attributes:
        replicas: workers for each isolated step.
        engine: for native steps.
        sidekicks: for isolated steps, by model version UUID.
        log_inferences: whether requests and answers are kept.
        document: the configuration as given, in the reference's form, for display.
    """

    replicas: int = 1
    engine: Resources = Resources()
    sidekicks: dict[str, Resources] = {}
    log_inferences: bool = True
    document: dict[str, Any] = {}


class DeploymentState(StrEnum):
    """The reference's states, and `Stopped`."""

    STARTING = "Starting"
    RUNNING = "Running"
    ERROR = "Error"
    STOPPED = "Stopped"


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker of an isolated step, as `status` shows it.

    Attributes:
        protections: what its sandbox holds; None until it is ready, and in a status of an earlier release.
        restarts: how often it was replaced since its version was deployed, because it ended unexpectedly.
        last_error: how the last of those ended.
        last_error_at: when.
    """

    id: str
    model: str
    version: str
    status: DeploymentState
    pid: int | None = None
    reason: str | None = None
    protections: tuple[str, ...] | None = None
    restarts: int = 0
    last_error: str | None = None
    last_error_at: datetime | None = None


class DeploymentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor observed last.

    Attributes:
        generation: of the deployment that this describes; an older one than requested means that work has not begun.
        serving: UUID of the pipeline version that answers requests; None if none does.
        answered: UUID of the last version that answered, kept while none does; None after a stop.
        fault: why the requested version does not answer. The one in `serving`, if any, is not affected.
        gateway: the process that answers, for `engines` in the reference's form.
    """

    state: DeploymentState
    generation: int
    serving: str | None = None
    answered: str | None = None
    fault: Fault | None = None
    gateway: str | None = None
    workers: tuple[WorkerStatus, ...] = ()


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One for each pipeline that was ever deployed; its id is part of URLs and does not change.

    Attributes:
        pipeline_version: UUID of the requested version.
        generation: counts requests: each deploy and undeploy adds one.
    """

    id: int
    pipeline_id: int
    pipeline: str
    workspace_id: int
    wanted: Literal["running", "stopped"]
    pipeline_version: str
    config: DeploymentConfig
    generation: int
    status: DeploymentStatus
    created_at: datetime
    updated_at: datetime
