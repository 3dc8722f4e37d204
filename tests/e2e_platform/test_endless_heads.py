"""The head of a request is limited on every listener, also for clients without a token."""

import socket

import pytest

MIB = 2**20


@pytest.mark.parametrize("url", ["control_url", "infer_url"])
def test_a_head_without_an_end_is_cut(shared_platform, url):
    port = int(getattr(shared_platform, url).rpartition(":")[2])
    sent = 0
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as client,
        pytest.raises(OSError, match=r"pipe|reset"),
    ):
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        while sent < 64 * MIB:
            client.sendall(b"X: a\r\n" * 10_000)
            sent += 60_000
    assert sent < 32 * MIB
