"""One model behind one HTTP server, until a signal to stop."""

import asyncio
import gc
import socket
from collections.abc import Callable, Mapping

from trivet.domain.held_bytes import HeldBytes
from trivet.domain.package import Package
from trivet.domain.version import LoadedModel, batching_of
from trivet.gateway.doors.table import open_doors
from trivet.gateway.pipelines import Pipelines
from trivet.gateway.servers import GatewayParts, open_servers
from trivet.loading.environments import Report
from trivet.packaging import package_in_use
from trivet.settings import Settings
from trivet.wiring.access_log import open_access_log
from trivet.wiring.conversions import load_conversions
from trivet.wiring.listening import hosts_of, with_kinds
from trivet.wiring.process import StopSignals, event_loops, process_name
from trivet.wiring.standalone import NO_WORKSPACE, compared, standalone

__all__ = ["serve"]


def serve(
    package: Package,
    model: LoadedModel,
    *,
    settings: Settings,
    listeners: Mapping[str, socket.socket],
    report: Report,
    on_ready: Callable[[], None],
) -> None:
    """Serve a prepared package until SIGINT, SIGTERM or SIGHUP.

    The first signal finishes the requests in flight, the second cuts them off.

    Args:
        package: from `prepare`, as `model` is.
        model: how it runs.
        settings: limits.
        listeners: bound and listening, by their names in `LISTENERS`.
        report: receives progress.
        on_ready: called when requests are answered.

    Raises:
        TrivetError: the model cannot be loaded.
    """
    load_conversions()
    # A platform of the same home may refuse or delete a model with the same bytes.
    with (
        package_in_use(settings.home / "packages", package.digest),
        asyncio.Runner(loop_factory=event_loops()) as runner,
    ):
        runner.run(_serve(package, model, settings=settings, listeners=listeners, report=report, on_ready=on_ready))


async def _serve(
    package: Package,
    model: LoadedModel,
    *,
    settings: Settings,
    listeners: Mapping[str, socket.socket],
    report: Report,
    on_ready: Callable[[], None],
) -> None:
    main = asyncio.current_task()
    assert main is not None
    stop = StopSignals(main.cancel)
    pipelines = Pipelines()
    max_body = int(settings.max_body_mib * 2**20)
    doors = open_doors(pipelines, partition=process_name())
    parts = GatewayParts(
        pipelines=pipelines,
        doors=doors,
        max_body=max_body,
        hosts=hosts_of(settings, listeners.values()),
        held=HeldBytes(int(settings.max_held_mib * 2**20)),
        client_timeout_s=settings.client_timeout_s,
        access_log=open_access_log(settings),
    )

    def count_exit() -> None:
        pipelines.metrics.of(model.settings.name or package.name, workspace_id=NO_WORKSPACE).worker_exits += 1

    try:
        async with standalone(
            package,
            model,
            settings=settings,
            report=report,
            workers=model.settings.workers or 1,
            on_exit=count_exit,
        ) as pipeline:
            batching, reason = batching_of(await compared(pipeline, model, report=report), None)
            if batching == "whole":
                report("note", f"requests do not share calls: {reason}")
            pipelines.put(pipeline)
            servers = open_servers(parts, with_kinds(listeners), drain_s=settings.drain_s)
            stop.serving(servers)
            for server in servers:
                await server.start()
            # Objects made at start-up live long: exempt them from garbage collection.
            gc.collect()
            gc.freeze()
            on_ready()
            await stop.finish(pipelines, stop_delay_s=settings.stop_delay_s)
            if parts.access_log is not None:
                await parts.access_log.close()
    except asyncio.CancelledError:
        if not stop.requested:
            raise
