"""The names that a listener answers to follow from where it listens, and from the settings."""

import socket
from contextlib import closing
from pathlib import Path

from trivet.errors import TrivetError
from trivet.settings import Settings, read_settings
from trivet.wiring.listening import hosts_of, listen


def refused(settings: Settings, host: bytes, origin: bytes | None = None) -> bool:
    with closing(listen(settings.host, 0, flag="--http-port")) as listener:
        try:
            hosts_of(settings, [listener]).check(host, origin)
        except TrivetError:
            return True
    return False


def test_on_loopback_only_loopback_names_and_the_configured_ones(tmp_path: Path) -> None:
    settings = read_settings({"TRIVET_HOSTS": "a.example, b.example", "TRIVET_HOME": str(tmp_path)})
    for host in (b"localhost:1", b"127.0.0.1", b"a.example", b"B.example:443"):
        assert not refused(settings, host, b"https://a.example")
    for host in (b"c.example", b"10.0.0.1", b"0.0.0.0"):
        assert refused(settings, host)


def test_beyond_loopback_also_addresses_and_the_machines_name(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, host="0.0.0.0")
    for host in (b"10.0.0.1:8080", b"[fd00::1]:8080", socket.gethostname().encode()):
        assert not refused(settings, host)
    assert refused(settings, b"evil.example")
    assert refused(settings, b"10.0.0.1:8080", b"http://evil.example")
