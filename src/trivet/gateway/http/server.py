"""The HTTP server around the gateway: uvicorn on the caller's own event loop, with a stop that loses nothing."""

import asyncio
import socket

import uvicorn

from trivet.errors import Conflict
from trivet.gateway.certificates import ServerTls
from trivet.gateway.http.access_log import AccessLog
from trivet.gateway.http.app import GatewayApp
from trivet.gateway.http.draining import DrainingServer
from trivet.gateway.http.uvicorn_protocol import connections
from trivet.gateway.servers import GatewayParts

__all__ = ["HttpServer"]


class HttpServer:
    """Serves a gateway on a listening socket: see `Server`.

    Args:
        parts: what answers, and who may ask.
        listener: bound and listening.
        drain_s: how long requests in flight may take once it is to stop.
        tls: what encrypts; plain HTTP without it.
    """

    def __init__(
        self,
        parts: GatewayParts,
        listener: socket.socket,
        *,
        drain_s: float,
        tls: ServerTls | None = None,
    ) -> None:
        self._listener = listener
        app = GatewayApp(
            parts.pipelines,
            parts.doors,
            max_body=parts.max_body,
            access=parts.access,
            hosts=parts.hosts,
            held=parts.held,
            client_timeout_s=parts.client_timeout_s,
            failures=parts.failures,
            url=_url(listener, encrypted=tls is not None),
        )
        config = uvicorn.Config(
            app if parts.access_log is None else AccessLog(app, parts.access_log),
            interface="asgi3",
            loop="none",
            http=connections(held=parts.held, client_timeout_s=parts.client_timeout_s),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=max(1, round(drain_s)),
            timeout_keep_alive=75,
        )
        config.load()
        config.ssl = None if tls is None else tls.context
        self._server = DrainingServer(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        while not self._server.started:
            if self._task.done():
                await self._task
                raise Conflict("the HTTP server ended while it started")
            await asyncio.sleep(0.002)

    async def stop(self) -> None:
        """Take no new connections, let requests in flight finish, then close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task

    def stop_now(self) -> None:
        """Cut what is still in flight."""
        self._server.should_exit = True
        self._server.force_exit = True


def _url(listener: socket.socket, *, encrypted: bool) -> str:
    """Where the listener is reached from this machine."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::", "127.0.0.1", "::1"}:  # noqa: S104 - compared, not listened on
        host = "localhost"
    return f"http{'s' if encrypted else ''}://{f'[{host}]' if ':' in host else host}:{port}"
