"""Starts, watches and replaces model workers, and leaves nothing behind."""

from trivet.workers.backoff import BackoffPolicy
from trivet.workers.events import reason_for_clients
from trivet.workers.launcher import Adopted, Launcher, RunningWorker
from trivet.workers.processes import Network, ProcessLauncher, Sandbox, WorkerFiles
from trivet.workers.spec import WorkerSpec
from trivet.workers.worker_set import Failed, Pausing, Ready, Starting, Stopped, WorkerSet, WorkerState

__all__ = [
    "Adopted",
    "BackoffPolicy",
    "Failed",
    "Launcher",
    "Network",
    "Pausing",
    "ProcessLauncher",
    "Ready",
    "RunningWorker",
    "Sandbox",
    "Starting",
    "Stopped",
    "WorkerFiles",
    "WorkerSet",
    "WorkerSpec",
    "WorkerState",
    "reason_for_clients",
]
