"""The gateway as a process of the platform: it answers predictions without the supervisor and the control plane.

It receives its routes over `<home>/run/gateway.sock`, and stores the last table in `<home>/run/routes.json`, so that it serves
the same routes after its own restart, even if no other process of the platform runs.
"""

import asyncio
import gc
import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from trivet.disk.peers import Peers
from trivet.disk.pulse import LOOP_SLOT, Pulse
from trivet.disk.replace import replace_file
from trivet.disk.worker_logs import FAILURES
from trivet.domain.encoding import encode
from trivet.domain.held_bytes import HeldBytes
from trivet.domain.released_forms import decode_released
from trivet.domain.routes import RouteStep, RouteTable, WorkerStep
from trivet.engine.limits import EngineLimits
from trivet.engine.native.marks import CallMarks
from trivet.engine.native.shared import NativeSessions
from trivet.engine.remote_workers import answers
from trivet.errors import TrivetError
from trivet.gateway.access import GatewayAccess
from trivet.gateway.certificates import ServerTls
from trivet.gateway.deployments import ServedDeployments
from trivet.gateway.doors.table import open_doors
from trivet.gateway.failures import Failures
from trivet.gateway.formats.examples import example_maker
from trivet.gateway.inference_log import InferenceLog
from trivet.gateway.json_lines import JsonLines
from trivet.gateway.loading import Loader
from trivet.gateway.pipelines import Pipelines
from trivet.gateway.servers import GatewayParts, open_servers
from trivet.gateway.statistics import Statistics
from trivet.gateway.supervisor_socket import GatewaySocket
from trivet.inference_log import LogLimits
from trivet.settings import Settings
from trivet.wiring.access_log import open_access_log
from trivet.wiring.conversions import load_conversions
from trivet.wiring.credentials import Credentials, follow_credentials, server_tls
from trivet.wiring.listening import hosts_of, is_loopback, with_kinds
from trivet.wiring.native_faults import native_faults
from trivet.wiring.parent_lines import ParentLines
from trivet.wiring.process import StopSignals, event_loops, process_name

__all__ = ["run_gateway"]

log = logging.getLogger(__name__)

HOLD_S = 5.0
# A disk that is slower than this costs log rows at a stop.
CLOSE_S = 5.0
FLUSH_S = 10.0
BEAT_S = 0.1
FAILURES_BYTES = 8 * 2**20
# In a quarter of a second: a model that fails each request does not keep the disk busy.
FAILURES_MOST = 50


def run_gateway(
    settings: Settings,
    *,
    peers: Peers,
    listeners: Mapping[str, socket.socket],
    credentials: Credentials,
    lines: ParentLines,
    pulse: Pulse | None = None,
    faulty: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """Answer predictions until SIGINT or SIGTERM.

    After the first signal it reports "not ready", finishes the requests in flight, and ends; a second one cuts them off.

    Args:
        settings: home, limits, times.
        peers: how the platform's processes reach each other.
        listeners: bound and listening, by their names in `LISTENERS`. They stay open, so that their owner can pass them to the next gateway.
        credentials: certificate and token. Clients on this machine need no token, requests from others do.
        lines: from the parent, with other credentials after a change.
        pulse: memory in which the parent sees that the event loop turns, and which native call runs; None if it does not watch.
        faulty: numbers of the versions that ended or blocked an earlier gateway, with how.

    Raises:
        TrivetError: it cannot start, because of a path too long for a socket.
    """
    load_conversions()
    tls = server_tls(credentials)
    access = None if all(map(is_loopback, listeners.values())) else GatewayAccess([credentials.token])

    def renew_token(token: str) -> None:
        if access is not None:
            access.renew([token])

    def follow() -> None:
        follow_credentials(lines, tls=tls, renew_token=renew_token)

    with asyncio.Runner(loop_factory=event_loops()) as runner:
        runner.run(
            _run(
                settings,
                peers=peers,
                listeners=listeners,
                access=access,
                tls=tls,
                follow=follow,
                pulse=pulse,
                faulty=faulty,
            )
        )


async def _run(
    settings: Settings,
    *,
    peers: Peers,
    listeners: Mapping[str, socket.socket],
    access: GatewayAccess | None,
    tls: ServerTls | None,
    follow: Callable[[], None],
    pulse: Pulse | None,
    faulty: Mapping[int, str],
) -> None:
    stop = StopSignals()
    if pulse is not None:
        _beat(asyncio.get_running_loop(), pulse)
    answers = _inference_log(settings)
    run = settings.home / "run"
    pipelines = Pipelines(log=answers, waits=True)
    max_body = int(settings.max_body_mib * 2**20)
    doors = open_doors(pipelines, partition=process_name())
    hosts = hosts_of(settings, listeners.values())
    failures = JsonLines(settings.home / "logs" / FAILURES, max_bytes=FAILURES_BYTES, most=FAILURES_MOST)
    parts = GatewayParts(
        pipelines=pipelines,
        doors=doors,
        max_body=max_body,
        access=access,
        hosts=hosts,
        held=HeldBytes(int(settings.max_held_mib * 2**20)),
        client_timeout_s=settings.client_timeout_s,
        access_log=open_access_log(settings),
        failures=Failures(failures),
    )
    servers = open_servers(
        parts,
        with_kinds(listeners),
        drain_s=settings.drain_s,
        tls=tls,
    )
    follow()
    stop.serving(servers)
    table_file = _TableFile(run / "routes.json")
    last_table = table_file.read()
    faults = native_faults(run / "native_faults.json", seen=faulty, table=last_table)
    limits = EngineLimits(max_waiting=settings.max_waiting, native_call_bytes=int(settings.native_call_mib * 2**20))
    natives = NativeSessions(
        example_maker,
        marks=None if pulse is None else CallMarks(pulse.words[LOOP_SLOT:]),
        faulty=faults,
        trust_native=settings.trust_native,
        most_call_bytes=limits.native_call_bytes,
    )
    loader = Loader(natives, limits=limits)
    deployments = ServedDeployments(pipelines, loader)
    if last_table is not None:
        deployments.take(last_table)
        await _until_back(deployments, last_table)
    for server in servers:
        await server.start()

    async def take(table: RouteTable) -> None:
        await asyncio.to_thread(table_file.write, table)
        deployments.take(table)

    async def flush() -> bool:
        return answers is None or await asyncio.to_thread(answers.flush, FLUSH_S)

    statistics = Statistics(pipelines.metrics)
    async with GatewaySocket(
        peers,
        name=process_name(),
        states=deployments.states,
        take_table=take,
        take_end=deployments.worker_ended,
        to_end=lambda: loader.workers.to_end,
        flush=flush,
        native_faults=faults,
        statistics=statistics.all,
    ) as supervisors:
        deployments.on_change = supervisors.report
        loader.workers.on_end = supervisors.end_worker
        settling = asyncio.create_task(_settle(deployments))
        sampling = asyncio.create_task(statistics.run())
        await stop.finish(pipelines, stop_delay_s=settings.stop_delay_s)
        settling.cancel()
        sampling.cancel()
        await deployments.close()
    for lines in (failures, parts.access_log):
        if lines is not None:
            await lines.close()
    if answers is not None:
        await asyncio.to_thread(answers.close, CLOSE_S)


def _beat(loop: asyncio.AbstractEventLoop, pulse: Pulse) -> None:
    """Count the event loop's turns, about ten a second."""
    pulse.beat()
    loop.call_later(BEAT_S, _beat, loop, pulse)


def _inference_log(settings: Settings) -> InferenceLog | None:
    if not settings.inference_log_mib:
        return None
    limits = LogLimits(bytes_each=int(settings.inference_log_mib * 2**20), age_s=settings.inference_log_days * 86_400.0)
    return InferenceLog(settings.home, limits, partition=process_name())


async def _until_back(deployments: ServedDeployments, table: RouteTable) -> None:
    """Wait a moment until what can come back at once is there: connections wait meanwhile, and are not answered "not found"."""
    steps = [(route.deployment_id, step) for route in table.routes for step in route.steps]
    found = await asyncio.gather(*(_starts_at_once(step) for _, step in steps))
    later = {deployment_id for (deployment_id, _), at_once in zip(steps, found, strict=True) if not at_once}
    soon = {route.deployment_id for route in table.routes} - later
    deadline = asyncio.get_running_loop().time() + HOLD_S
    while asyncio.get_running_loop().time() < deadline:
        if not any(state.deployment_id in soon and state.state == "loading" for state in deployments.states()):
            return
        await asyncio.sleep(0.005)


async def _starts_at_once(step: RouteStep) -> bool:
    """Whether a step needs no worker that is still to be started."""
    if not isinstance(step, WorkerStep):
        return True
    return any(await asyncio.gather(*map(answers, step.workers)))


async def _settle(deployments: ServedDeployments) -> None:
    await deployments.settled()
    # Objects loaded at the start live long: exempt them from garbage collection.
    gc.collect()
    gc.freeze()


class _TableFile:
    """The newest table, in a file.

    Args:
        path: the file. It is replaced as a whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = b""

    def read(self) -> RouteTable | None:
        """The table of the last run; None if there was none, or it is not readable."""
        try:
            content = self._path.read_bytes()
            table = decode_released(content, RouteTable)
        except FileNotFoundError:
            return None
        except (OSError, TrivetError) as error:
            log.warning("failed to read the routes of the last run: %s", error)
            return None
        self._written = content
        return table

    def write(self, table: RouteTable) -> None:
        """Store a table. If that fails, it is served all the same: after a restart the supervisor sends it again."""
        content = encode(table)
        if content == self._written:
            return
        try:
            replace_file(self._path, content, durable=True)
        except OSError as error:
            log.warning("failed to write the routes to %s: %s", self._path, error.strerror or error)
            return
        self._written = content
