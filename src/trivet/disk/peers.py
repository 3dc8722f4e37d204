"""The sockets between the platform's processes, in the home's folder `run`.

The sandbox of a worker does not cover connecting to a socket by its path, and the folder's mode does not keep out processes of
the same user. So each connection begins with a secret that the platform's parent gives to its own processes, and both ends have
to be of one user. Nothing else is read from a connection before, or written to it.
"""

import asyncio
import contextlib
import hmac
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias

from trivet.errors import Conflict

__all__ = ["PeerSocket", "Peers"]

Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

ADMIT_S = 5.0
MOST_WAITING = 64
ACCEPT_AGAIN_S = 0.1
CLOSE_S = 5.0
LONGEST_PATH = 107  # bytes of a Unix socket's address, without the zero at its end
CREDENTIALS = struct.Struct("3i")  # pid, user id, group id


@dataclass(frozen=True, kw_only=True, slots=True)
class Peers:
    """How the processes of one platform reach each other.

    Attributes:
        folder: has a socket for each process that listens.
        secret: what each connection begins with.
    """

    folder: Path
    secret: str = field(repr=False)

    def path(self, name: str) -> Path:
        """The socket of a process."""
        return self.folder / f"{name}.sock"

    async def open(self, name: str, *, most_line_bytes: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a process.

        Raises:
            OSError: nothing listens, or a process of another user.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(connection, str(self.path(name)))
            _check_user(connection)
            await loop.sock_sendall(connection, self.secret.encode())
            return await asyncio.open_unix_connection(sock=connection, limit=most_line_bytes)
        except BaseException:
            connection.close()
            raise

    @contextlib.contextmanager
    def connected(self, name: str, *, timeout_s: float) -> Iterator[socket.socket]:
        """A connection to a process for the length of a `with` block, for threads.

        Raises:
            OSError: nothing listens, or a process of another user.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(self.path(name)))
            _check_user(connection)
            connection.sendall(self.secret.encode())
            yield connection


class PeerSocket:
    """Listens for the platform's other processes, for the length of an `async with` block.

    Args:
        peers: has the folder and the secret.
        name: of this process; an old socket of that name is replaced.
        serve: answers one connection, which is closed when it returns. At the end of the block the connections are closed.
        most_line_bytes: of a line that `serve` reads.
    """

    def __init__(self, peers: Peers, name: str, *, serve: Serve, most_line_bytes: int) -> None:
        self._path = peers.path(name)
        self._secret = peers.secret.encode()
        self._serve = serve
        self._most_line_bytes = most_line_bytes
        # Connections that have not sent the secret, the oldest first.
        self._waiting: dict[asyncio.Task[None], None] = {}
        self._served: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._accepting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._accepting = asyncio.create_task(self._accept(_listen(self._path)))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._accepting is not None
        for task in (self._accepting, *self._waiting):
            task.cancel()
        for writer in self._served.values():
            writer.transport.abort()
        await asyncio.wait([self._accepting, *self._waiting, *self._served], timeout=CLOSE_S)
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError:  # such as too many open files
                    await asyncio.sleep(ACCEPT_AGAIN_S)
                    continue
                # A turn for the others: accepting does not wait while many connect.
                await asyncio.sleep(0)
                if len(self._waiting) >= MOST_WAITING:
                    next(iter(self._waiting)).cancel()
                task = asyncio.create_task(self._handle(connection))
                self._waiting[task] = None
                task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._waiting.pop(task, None)
        self._served.pop(task, None)

    async def _handle(self, connection: socket.socket) -> None:
        try:
            reader, writer = await self._admitted(connection)
        except OSError:  # without the secret, too late, or gone
            return
        task = asyncio.current_task()
        assert task is not None
        self._waiting.pop(task, None)
        self._served[task] = writer
        try:
            await self._serve(reader, writer)
        finally:
            writer.close()

    async def _admitted(self, connection: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            connection.setblocking(False)
            async with asyncio.timeout(ADMIT_S):
                _check_user(connection)
                await self._receive_secret(connection)
            return await asyncio.open_unix_connection(sock=connection, limit=self._most_line_bytes)
        except BaseException:
            connection.close()
            raise

    async def _receive_secret(self, connection: socket.socket) -> None:
        """Raises PermissionError if something else comes."""
        received = b""
        while len(received) < len(self._secret):
            # No more than the secret: what comes after it belongs to `serve`.
            piece = await asyncio.get_running_loop().sock_recv(connection, len(self._secret) - len(received))
            if not piece:
                break
            received += piece
        if not hmac.compare_digest(received, self._secret):
            raise PermissionError("a connection without the platform's secret")


def _check_user(connection: socket.socket) -> None:
    """Raises PermissionError if the other end is a process of another user. Not every system says whose it is."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return
    _, user, _ = CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, option, CREDENTIALS.size))
    if user != os.geteuid():
        raise PermissionError("a connection with a process of another user")


def _listen(path: Path) -> socket.socket:
    fix = "choose a home with a shorter path: --home, or TRIVET_HOME"
    if len(os.fsencode(path)) > LONGEST_PATH:
        why = f"a Unix socket's path has {LONGEST_PATH} bytes at most"
        raise Conflict(f"failed to create the socket {path}", why=why, fix=fix)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise Conflict(f"failed to create the socket {path}", why=error.strerror or str(error), fix=fix) from error
    finally:
        os.umask(before)
    listener.setblocking(False)
    listener.listen()
    return listener
