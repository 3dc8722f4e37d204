"""The life of the process that runs the model, from its configuration to its last answer."""

import os
import sys
import threading
import time
from queue import SimpleQueue
from typing import Optional

import pyarrow as pa

# All of `mac` is imported now, so that files of a package cannot replace it.
import mac.config.inference
import mac.exceptions
import mac.inference.creation
import mac.types  # noqa: F401
from trivet_worker.absent import allow_absent_names
from trivet_worker.adapters import Adapter, PackageFiles, load_adapter
from trivet_worker.calls import Call, Model, run_calls
from trivet_worker.failures import HidePaths, hide_paths, report_of
from trivet_worker.modules import open_package_folder
from trivet_worker.protocol import PROTOCOL, Config, Events
from trivet_worker.server import ModelServer

__all__ = ["run"]


def run(config: Config, events: Events, *, stop: int, started: float) -> None:
    """Load the model, listen, answer calls; then end the process: with code 1 if the model could not be loaded.

    Args:
        config: what to run.
        events: reports the progress to the parent.
        stop: a pipe on which a byte asks for the end after the current call.
        started: the worker's start, on the monotonic clock.
    """
    os.chdir(config.scratch)
    root = os.path.realpath(config.package_root)
    input_schema = pa.ipc.read_schema(pa.py_buffer(config.input_schema))
    output_schema = pa.ipc.read_schema(pa.py_buffer(config.output_schema))
    hide = hide_paths(home=config.home, package=root, scratch=config.scratch)
    package = PackageFiles(
        root=root,
        entry=config.entry,
        files=config.files,
        options=config.options,
        input_schema=input_schema,
        output_schema=output_schema,
    )
    adapter = _load(config, package, events, hide)
    if adapter is None:
        _end(1)
    else:
        model = Model(adapter, input_schema=input_schema, output_schema=output_schema, root=root, hide=hide)
        calls: SimpleQueue[Optional[Call]] = SimpleQueue()
        threading.Thread(target=_stop_when_asked, args=(stop, calls), daemon=True).start()
        server = ModelServer(
            config.location,
            token=config.token,
            identity=None if config.certificate is None else (config.certificate, config.key or ""),
            calls=calls,
            predict=model.predict_here if model.any_thread else None,
            input_schema=input_schema,
            output_schema=output_schema,
        )
        version = "{}.{}.{}".format(*sys.version_info)
        seconds = round(time.monotonic() - started, 3)
        events.send(
            "ready",
            pid=os.getpid(),
            python=version,
            seconds=seconds,
            protocol=PROTOCOL,
            port=server.tcp_port,
        )
        run_calls(model, calls)
        model.finish()
        server.settle(1.0)
        _end(0)


def _load(config: Config, package: PackageFiles, events: Events, hide: HidePaths) -> Optional[Adapter]:
    """The adapter; None after a reported failure."""
    stages = ["importing"]

    def stage(name: str) -> None:
        stages.append(name)
        events.send(name)

    events.send("importing", pid=os.getpid())
    open_package_folder(package.root)
    allow_absent_names()
    try:
        return load_adapter(config.adapter, package, stage=stage)
    except BaseException as error:
        reason = "import_failed" if stages[-1] == "importing" else "load_failed"
        report = report_of(error, package.root, reason=reason, hide=hide)
        sys.stderr.write(report["trace"])
        events.send("failed", error=report)
        return None


def _stop_when_asked(stop: int, calls: "SimpleQueue[Optional[Call]]") -> None:
    """End the calls when the guardian writes to the pipe. The guardian ends this process if it ends itself."""
    if os.read(stop, 1):
        calls.put(None)


def _end(code: int) -> None:
    """End the process without waiting for threads of the model."""
    import atexit
    import logging

    atexit._run_exitfuncs()  # noqa: SLF001 - the exit below skips these; an ordinary one would wait for threads
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
