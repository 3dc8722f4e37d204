"""What runs model workers: starts them, watches them, replaces them, and leaves nothing behind."""

from trivet.workers.backoff import BackoffPolicy
from trivet.workers.processes import Launcher, ProcessLauncher, RunningWorker
from trivet.workers.spec import WorkerSpec
from trivet.workers.worker_set import Failed, Pausing, Ready, Starting, Stopped, WorkerSet, WorkerState

__all__ = [
    "BackoffPolicy",
    "Failed",
    "Launcher",
    "Pausing",
    "ProcessLauncher",
    "Ready",
    "RunningWorker",
    "Starting",
    "Stopped",
    "WorkerSet",
    "WorkerSpec",
    "WorkerState",
]
