"""One model behind one HTTP server, until somebody says stop."""

import asyncio
import gc
import socket
from collections.abc import Callable

from trivet.engine.pipeline import ServedPipeline, ServedStep
from trivet.engine.served import ServedModel
from trivet.gateway.doors.table import open_doors
from trivet.gateway.http.app import GatewayApp
from trivet.gateway.http.server import HttpServer
from trivet.gateway.pipelines import Pipelines
from trivet.loading.prepare import Prepared, Report
from trivet.settings import Settings
from trivet.wiring.process import StopSignals, event_loops, process_name
from trivet.wiring.running import running

__all__ = ["pipeline_of", "serve"]

# A model that is served by itself belongs to nobody.
NO_WORKSPACE = 0


def serve(
    prepared: Prepared,
    *,
    settings: Settings,
    listener: socket.socket,
    report: Report,
    on_ready: Callable[[int], None],
) -> None:
    """Serve a prepared package until SIGINT or SIGTERM.

    The first signal lets requests in flight finish, the second cuts them.

    Args:
        prepared: from `prepare`.
        settings: limits.
        listener: bound and listening.
        report: told what is going on.
        on_ready: called with the port once requests are answered.

    Raises:
        TrivetError: the model cannot be loaded.
    """
    with asyncio.Runner(loop_factory=event_loops()) as runner:
        runner.run(_serve(prepared, settings=settings, listener=listener, report=report, on_ready=on_ready))


def pipeline_of(model: ServedModel) -> ServedPipeline:
    """A single model as a pipeline of one step that is named like it."""
    step = ServedStep(
        name=model.name,
        version=model.version,
        version_id=0,
        sha=model.sha,
        framework=model.framework,
        runtime=model.runtime,
        runner=model.runner,
    )
    return ServedPipeline(
        name=model.name,
        version=model.version,
        deployment_id=None,
        workspace_id=NO_WORKSPACE,
        steps=(step,),
        runner=model.runner,
        probe=model.probe,
        checks=None,
    )


async def _serve(
    prepared: Prepared,
    *,
    settings: Settings,
    listener: socket.socket,
    report: Report,
    on_ready: Callable[[int], None],
) -> None:
    main = asyncio.current_task()
    assert main is not None
    stop = StopSignals(main.cancel)
    pipelines = Pipelines()
    max_body = int(settings.max_body_mib * 2**20)
    app = GatewayApp(pipelines, open_doors(pipelines, partition=process_name(), max_body=max_body), max_body=max_body)

    def count_exit() -> None:
        pipelines.metrics.of(prepared.name, workspace_id=NO_WORKSPACE).worker_exits += 1

    try:
        async with running(prepared, settings=settings, report=report, on_exit=count_exit) as served:
            pipelines.put(pipeline_of(served))
            http = HttpServer(app, listener, drain_s=settings.drain_s)
            stop.serving(http)
            await http.start()
            # What start-up made stays for good: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            on_ready(http.port)
            await stop.finish(pipelines, stop_delay_s=settings.stop_delay_s)
    except asyncio.CancelledError:
        if not stop.asked:
            raise
