"""The HTTP server around the gateway: uvicorn on the caller's own event loop, with a stop that loses nothing."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from trivet.errors import Conflict
from trivet.gateway.app import Gateway
from trivet.gateway.protocol import GatewayProtocol

__all__ = ["HttpServer"]


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: whoever runs the loop handles signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves a gateway on a listening socket.

    Args:
        gateway: the application.
        listener: bound and listening.
        drain_s: how long requests in flight may take once a stop was asked for.
    """

    def __init__(self, gateway: Gateway, listener: socket.socket, *, drain_s: float) -> None:
        self._listener = listener
        config = uvicorn.Config(
            gateway,
            interface="asgi3",
            loop="none",
            http=GatewayProtocol,
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
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that was bound."""
        port: int = self._listener.getsockname()[1]
        return port

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
