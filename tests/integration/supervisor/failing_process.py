"""The gateway or the supervisor, in which the n-th step of a boundary fails, or is its last.

    python failing_process.py ROLE DESCRIPTOR

Everything runs as it does elsewhere (`trivet.wiring.child`). Through the connection with that descriptor comes what shall fail
next, a `(boundary, kind, number)` or None, and each is answered with the step that the one before it met, empty if none.
A boundary is a function of the platform with all file operations in it, or with itself as the only step; `a+b` is two of them.
"""

import asyncio
import functools
import importlib.util
import inspect
import os
import signal
import sys
import threading
from contextvars import ContextVar
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from trivet.catalog.catalog import Catalog
from trivet.catalog.deployments import Deployments
from trivet.catalog.journal import Journal
from trivet.catalog.models import Models
from trivet.catalog.pipelines import Pipelines
from trivet.catalog.workspaces import Workspaces
from trivet.engine.native import shared
from trivet.errors import Unavailable
from trivet.gateway.loading import LoadedPipeline
from trivet.gateway.pipelines import Pipelines as ServedPipelines
from trivet.gateway.supervisor_socket import GatewaySocket
from trivet.loading import steps
from trivet.supervisor.gateway_client import GatewayChannel
from trivet.supervisor.memory_file import MemoryFile
from trivet.wiring import child, gateway_process
from trivet.workers import process_worker, processes


def beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


nth_failure = beside("nth_failure")
# A process that dies there leaves the same state as one that dies at the next step.
CHANGE_NOTHING = {"open", "lock", "fsync", "_is_tiny", "_open"}
WITHIN: ContextVar[str] = ContextVar("WITHIN", default="")


class Steps(nth_failure.Fault):
    """Counts the steps of the boundary that was named last, and lets one of them fail.

    `kind` is one of those of `nth_failure`, or `Unavailable`; a crash is a SIGKILL.
    """

    def __init__(self) -> None:
        super().__init__("crash", 0)
        self._boundary: str | None = None
        self._arming = threading.Lock()

    def arm(self, what: tuple[str, str, int] | None) -> str:
        with self._arming:
            met = self.operation
            self.operation = ""
            self._boundary, self.kind, self.number = what or (None, "crash", 0)
            self._left = self.number
            return met

    def due(self, what: str, on: object) -> bool:
        """A file operation."""
        if self.kind == "crash" and what in CHANGE_NOTHING:
            return False
        return what in nth_failure.MEETS.get(self.kind, ()) and self._counts(WITHIN.get(), f"{what} {on}")

    def happen(self, on: object) -> None:
        if self.kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        super().happen(on)

    def pass_by(self, boundary: str, what: str) -> None:
        """A step that is no file operation."""
        reads = boundary == "catalog" and not what.startswith(("set_", "add_"))
        if self.kind == "crash" and (reads or what in CHANGE_NOTHING):
            return
        if self._counts(boundary, what):
            if self.kind == "Unavailable":
                raise Unavailable("it cannot be reached", why="injected", fix="try again")
            self.happen(None)

    def _counts(self, boundary: str, what: str) -> bool:
        with self._arming:
            if not boundary or self._boundary is None or boundary not in self._boundary.split("+"):
                return False
            self._left -= 1
            if self._left == 0:
                self.operation = f"{boundary}: {what}"
            return self._left == 0

    def within(self, owner: Any, name: str, boundary: str) -> None:
        """File operations of a function, in whichever thread it runs, are steps of a boundary."""
        real = getattr(owner, name)

        @functools.wraps(real)
        def call(*given: Any, **options: Any) -> Any:
            before = WITHIN.set(boundary)
            try:
                return real(*given, **options)
            finally:
                WITHIN.reset(before)

        @functools.wraps(real)
        async def call_async(*given: Any, **options: Any) -> Any:
            before = WITHIN.set(boundary)
            try:
                return await real(*given, **options)
            finally:
                WITHIN.reset(before)

        setattr(owner, name, call_async if inspect.iscoroutinefunction(real) else call)

    def at(self, owner: Any, name: str, boundary: str) -> None:
        """Each call of a function is a step of a boundary."""
        real = getattr(owner, name)

        @functools.wraps(real)
        def call(*given: Any, **options: Any) -> Any:
            self.pass_by(boundary, name)
            return real(*given, **options)

        setattr(owner, name, call)


def supervisor(faults: Steps) -> None:
    for part in (Catalog, Workspaces, Models, Pipelines, Deployments, Journal):
        for name, _ in inspect.getmembers(part, inspect.isfunction):
            if not name.startswith("_") and name not in {"open", "close"}:
                faults.at(part, name, "catalog")
    faults.within(MemoryFile, "write", "memory")
    faults.within(process_worker, "write_record", "record")
    faults.within(processes.ProcessLauncher, "start", "worker")
    # It reads dozens of files, each in the same way.
    faults.within(processes, "worker_code", "")
    faults.at(processes, "worker_code", "worker")
    faults.at(asyncio, "create_subprocess_exec", "worker")
    faults.within(steps, "native_root", "package")
    faults.within(steps, "package_root", "package")
    faults.at(GatewayChannel, "_send", "message")


def gateway(faults: Steps) -> None:
    faults.within(gateway_process._TableFile, "write", "routes")
    for owner, name in (
        (shared, "_is_tiny"),
        (shared.NativeSessions, "_open"),
        (LoadedPipeline, "_warm_up"),
        (ServedPipelines, "put"),
    ):
        faults.at(owner, name, "load")
    faults.at(GatewaySocket, "_handle", "message")
    faults.at(GatewaySocket, "report", "message")


def listen(faults: Steps, door: Connection) -> None:
    try:
        while True:
            door.send(faults.arm(door.recv()))
    except (EOFError, OSError):
        return


if __name__ == "__main__":
    made = Steps()
    {"supervisor": supervisor, "gateway": gateway}[sys.argv[1]](made)
    threading.Thread(target=listen, args=[made, Connection(int(sys.argv[2]))], daemon=True).start()
    with made:
        child.main()
