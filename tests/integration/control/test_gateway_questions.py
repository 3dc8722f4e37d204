"""A question to a gateway that hangs, or that sends without an end: it takes a limited time."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trivet.disk.peers import Peers
from trivet.errors import Unavailable
from trivet.wiring.gateway_questions import flush_logs
from trivet_tests.peers import peers_in

WITHIN_S = 0.5


@pytest.fixture
def peers(tmp_path: Path) -> Peers:
    return peers_in(tmp_path)


@pytest.fixture
def gateway(peers: Peers) -> Iterator[socket.socket]:
    """The gateway's socket. The kernel accepts connections to it, and nothing answers them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(peers.path("gateway")))
        listener.listen(8)
        yield listener


def is_given_up(peers: Peers) -> bool:
    begun = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        flush_logs(peers, within_s=WITHIN_S)
    assert caught.value.reason == "log_not_written"
    assert caught.value.why == "the gateway did not write them within 0.5 s"
    return WITHIN_S <= time.monotonic() - begun < 60


@pytest.mark.usefixtures("gateway")
def test_a_gateway_that_does_not_answer_delays_a_flush_by_its_limit(peers: Peers) -> None:
    assert is_given_up(peers)


def test_a_gateway_that_sends_without_an_end_delays_a_flush_by_its_limit(peers: Peers, gateway: socket.socket) -> None:
    sent = []

    def send() -> None:
        with gateway.accept()[0] as connection, contextlib.suppress(OSError):
            while True:
                connection.sendall(b"x")
                sent.append(1)
                time.sleep(0.02)

    sending = threading.Thread(target=send)
    sending.start()
    assert is_given_up(peers)
    sending.join(timeout=60)
    assert not sending.is_alive()
    assert sent


def test_a_gateway_that_does_not_run_has_nothing_to_write(peers: Peers) -> None:
    flush_logs(peers, within_s=60)
