"""What runs model workers: starts them, watches them, replaces them, and leaves nothing behind."""

from trivet.supervisor.backoff import BackoffPolicy
from trivet.supervisor.launch import Launcher, ProcessLauncher, RunningWorker
from trivet.supervisor.spec import WorkerSpec
from trivet.supervisor.watch import Failed, Pausing, Ready, Starting, Stopped, WorkerSet, WorkerState

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
