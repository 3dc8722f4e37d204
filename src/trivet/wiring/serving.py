"""One model behind one HTTP server, until somebody says stop."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Callable

from trivet.gateway.app import Gateway
from trivet.gateway.metrics import GatewayMetrics
from trivet.gateway.server import HttpServer
from trivet.settings import Settings
from trivet.wiring.preparing import Prepared, Report
from trivet.wiring.running import running

__all__ = ["serve"]


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
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(prepared, settings=settings, listener=listener, report=report, on_ready=on_ready))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _pause(seconds: float, *, unless: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(unless.wait(), seconds)


async def _serve(
    prepared: Prepared,
    *,
    settings: Settings,
    listener: socket.socket,
    report: Report,
    on_ready: Callable[[int], None],
) -> None:
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    assert main is not None
    stop, hurry = asyncio.Event(), asyncio.Event()
    http: HttpServer | None = None

    def asked_to_stop() -> None:
        if http is None:
            main.cancel()
        elif stop.is_set():
            hurry.set()
            http.stop_now()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_stop)
    metrics = GatewayMetrics()

    def count_exit() -> None:
        metrics.of(prepared.name).worker_exits += 1

    try:
        async with running(prepared, settings=settings, report=report, on_exit=count_exit) as served:
            gateway = Gateway(
                served,
                metrics=metrics,
                max_body=int(settings.max_body_mib * 2**20),
                partition=f"trivet-{socket.gethostname()}-{os.getpid()}",
            )
            http = HttpServer(gateway, listener, drain_s=settings.drain_s)
            await http.start()
            # What start-up made stays for good: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            on_ready(http.port)
            await stop.wait()
            gateway.begin_stop()
            await _pause(settings.stop_delay_s, unless=hurry)
            await http.stop()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
