"""The control API as a process of the platform."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pyarrow as pa
import uvicorn

from trivet.blobs import open_blobs
from trivet.control.app import build_app
from trivet.control.context import Control
from trivet.control.use_cases.uploads import clear_uploads
from trivet.disk.errors import disk
from trivet.disk.peers import Peers
from trivet.domain.access import OWNER, Caller, callers_of
from trivet.domain.held_bytes import HeldBytes
from trivet.domain.pipeline import Validation
from trivet.gateway.http.draining import DrainingServer
from trivet.gateway.http.uvicorn_protocol import connections
from trivet.settings import Settings
from trivet.wiring.catalogs import catalog_of
from trivet.wiring.conversions import keep_pandas_out
from trivet.wiring.credentials import Credentials, follow_credentials, server_tls
from trivet.wiring.database_probe import Patient, database_problem, missing_packages
from trivet.wiring.gateway_questions import flush_logs, gateway_statistics
from trivet.wiring.listening import hosts_of
from trivet.wiring.parent_lines import ParentLines
from trivet.wiring.process import event_loops
from trivet.workers.devices import find_devices, this_machine

__all__ = ["run_control"]

PROBE_S = 1.0
STORE_S = 3.0
FRESH_S = 1.0
# A remote store is asked for each package.
FRESH_PACKAGES_S = 10.0


def run_control(
    settings: Settings,
    *,
    peers: Peers,
    listener: socket.socket,
    credentials: Credentials,
    lines: ParentLines,
    infer_url: str,
    again: bool = False,
) -> None:
    """Answer the control API until SIGTERM.

    Raises:
        TrivetError: the catalog cannot be opened at the first start: see `catalog_of`.
    """
    keep_pandas_out()
    callers = callers_of({credentials.token: OWNER})

    def renew_token(token: str) -> None:
        nonlocal callers
        callers = callers_of({token: OWNER})

    def caller_of(token: bytes) -> Caller | None:
        return callers(token)

    with disk(settings.home, reason="home_not_writable"):
        (settings.home / "uploads").mkdir(mode=0o700, exist_ok=True)
    catalog = catalog_of(settings, again=again)

    servers: list[uvicorn.Server] = []

    blobs = open_blobs(settings.blob_url, home=settings.home)
    stores = {
        "database": Patient(partial(database_problem, catalog), within_s=STORE_S, fresh_s=FRESH_S),
        "packages": Patient(partial(missing_packages, catalog, blobs), within_s=STORE_S, fresh_s=FRESH_PACKAGES_S),
    }

    def probe() -> dict[str, str]:
        problems = {part: problem for part, store in stores.items() if (problem := store.problem()) is not None}
        for part in ("supervisor", "gateway"):
            if not _answers(peers, part):
                problems[part] = "it does not answer"
        return problems

    control = Control(
        catalog=catalog,
        blobs=blobs,
        settings=settings,
        peers=peers,
        infer_url=infer_url,
        check_validations=_check_validations,
        flush_logs=partial(flush_logs, peers),
        statistics=partial(gateway_statistics, peers),
        probe=probe,
        is_stopping=lambda: servers[0].should_exit,
        machine=this_machine(os.environ),
        devices=find_devices(os.environ),
    )
    clear_uploads(control)
    held = HeldBytes(int(settings.max_held_mib * 2**20))
    app = build_app(control, callers=caller_of, hosts=hosts_of(settings, [listener]), held=held)
    config = uvicorn.Config(
        app,
        loop="none",
        http=connections(held=held, client_timeout_s=settings.client_timeout_s),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
    )
    tls = server_tls(credentials)
    config.load()
    config.ssl = None if tls is None else tls.context
    servers.append(DrainingServer(config))
    with asyncio.Runner(loop_factory=event_loops()) as runner:
        runner.run(_serve(servers[0], listener, lambda: follow_credentials(lines, tls=tls, renew_token=renew_token)))
    control.threads.close()
    catalog.close()


async def _serve(server: uvicorn.Server, listener: socket.socket, follow: Callable[[], None]) -> None:
    follow()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    await server.serve(sockets=[listener])


def _check_validations(validations: Sequence[Validation], kinds: Mapping[str, pa.DataType]) -> None:
    if not validations:
        return
    from trivet.engine.checks.validations import check_validations

    check_validations(validations, kinds)


def _answers(peers: Peers, part: str) -> bool:
    with contextlib.suppress(OSError), peers.connected(part, timeout_s=PROBE_S) as connection:
        # Both processes greet each connection. The kernel accepts connections to a process that hangs.
        return bool(connection.recv(1))
    return False
