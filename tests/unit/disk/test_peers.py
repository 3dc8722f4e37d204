"""A connection between the platform's processes begins with their secret; any other one is closed without an answer."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from trivet.disk import peers as module
from trivet.disk.peers import Peers, PeerSocket

SECRET = "5e" * 32
WITHIN_S = 60.0


@pytest.fixture
def peers(tmp_path: Path) -> Peers:
    return Peers(folder=tmp_path, secret=SECRET)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter and write."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@contextlib.asynccontextmanager
async def listening(peers: Peers, heard: list[bytes]) -> AsyncIterator[None]:
    """Greets each connection that is admitted, and keeps its lines in `heard`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        while line := await reader.readline():
            heard.append(line)
            writer.write(b"heard\n")

    async with PeerSocket(peers, "one", serve=serve, most_line_bytes=2**10):
        yield


def answer_to(peers: Peers, sent: bytes) -> bytes:
    """What a connection gets that sends these bytes and waits."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(ConnectionError):
        connection.settimeout(WITHIN_S)
        connection.connect(str(peers.path("one")))
        connection.sendall(sent)
        return connection.recv(100)
    return b""


def test_processes_with_the_secret_exchange_lines(peers: Peers) -> None:
    heard: list[bytes] = []

    async def main() -> None:
        async with listening(peers, heard):
            reader, writer = await peers.open("one", most_line_bytes=2**10)
            writer.write(b"a line\n")
            assert [await reader.readline(), await reader.readline()] == [b"hello\n", b"heard\n"]
            writer.close()

            def ask() -> bytes:
                with peers.connected("one", timeout_s=WITHIN_S) as connection:
                    return connection.recv(6)

            assert await asyncio.to_thread(ask) == b"hello\n"
        assert not peers.path("one").exists()

    asyncio.run(main())
    assert heard == [b"a line\n"]


@pytest.mark.parametrize(
    "sent",
    [b"f" * 64, SECRET[:-1].encode() + b"f", SECRET[1:].encode() + b"\n", b"\0" * 2**20, SECRET.upper().encode()],
    ids=["another", "last byte", "shifted", "much", "upper case"],
)
def test_without_the_secret_a_connection_is_closed_unheard(peers: Peers, sent: bytes) -> None:
    heard: list[bytes] = []

    async def main() -> None:
        async with listening(peers, heard):
            assert await asyncio.to_thread(answer_to, peers, sent) == b""

    asyncio.run(main())
    assert heard == []


@pytest.mark.parametrize("sent", [b"", SECRET[:-1].encode()], ids=["nothing", "a part"])
def test_the_secret_has_to_come_soon(peers: Peers, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADMIT_S", 0.05)

    async def main() -> None:
        async with listening(peers, []):
            assert await asyncio.to_thread(answer_to, peers, sent) == b""

    asyncio.run(main())


def test_connections_without_a_secret_keep_no_peer_out(peers: Peers) -> None:
    async def main() -> None:
        async with listening(peers, []):
            with contextlib.ExitStack() as idle:
                for _ in range(3 * module.MOST_WAITING):
                    connection = idle.enter_context(socket.socket(socket.AF_UNIX))
                    connection.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(connection, str(peers.path("one")))
                    await asyncio.sleep(0)
                reader, writer = await peers.open("one", most_line_bytes=2**10)
                assert await asyncio.wait_for(reader.readline(), WITHIN_S) == b"hello\n"
                writer.close()

    asyncio.run(main())


def test_at_its_end_connections_are_closed(peers: Peers) -> None:
    async def main() -> None:
        async with listening(peers, []):
            reader, writer = await peers.open("one", most_line_bytes=2**10)
            await reader.readline()
            waiting = socket.socket(socket.AF_UNIX)
            waiting.connect(str(peers.path("one")))
        assert await asyncio.wait_for(reader.read(), WITHIN_S) == b""
        writer.close()
        waiting.settimeout(WITHIN_S)
        with waiting, contextlib.suppress(ConnectionResetError):
            assert waiting.recv(1) == b""

    asyncio.run(main())


@pytest.mark.skipif(os.getuid() != 0, reason="only root starts processes of another user")
def test_another_users_process_is_refused_with_the_secret(open_folder: Path) -> None:
    here = Peers(folder=open_folder, secret=SECRET)
    program = (
        "import os, socket, sys\n"
        "os.setuid(65534)\n"
        "door = socket.socket(socket.AF_UNIX)\n"
        "door.connect(sys.argv[1])\n"
        "try:\n"
        "    door.sendall(sys.argv[2].encode())\n"
        "    sys.exit(len(door.recv(9)))\n"
        "except ConnectionError: sys.exit(0)\n"
    )

    async def main() -> int:
        async with listening(here, []):
            here.path("one").chmod(0o666)
            command = [sys.executable, "-I", "-S", "-c", program, str(here.path("one")), SECRET]
            return await (await asyncio.create_subprocess_exec(*command)).wait()

    assert asyncio.run(main()) == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root starts processes of another user")
def test_another_users_process_does_not_get_the_secret(open_folder: Path) -> None:
    here = Peers(folder=open_folder, secret=SECRET)
    program = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True)\n"
        "for turn in range(2): sys.stdout.buffer.write(s.accept()[0].recv(9) + b'.'); sys.stdout.flush()\n"
    )
    command = [sys.executable, "-I", "-S", "-c", program, str(here.path("one"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(PermissionError), here.connected("one", timeout_s=WITHIN_S):
            pass
        with pytest.raises(PermissionError):
            asyncio.run(here.open("one", most_line_bytes=2**10))
        assert process.stdout.read() == b".."


def test_the_secret_is_in_no_text(peers: Peers) -> None:
    assert SECRET not in f"{peers} {peers!r}"
