"""Which names of a host and of a page's site a listener answers to."""

import pytest

from trivet.domain.own_hosts import OwnHosts, UnknownHost, headers_by_name
from trivet.errors import Forbidden, Invalid


@pytest.mark.parametrize(
    "host", [None, b"localhost", b"LOCALHOST:8080", b"127.0.0.1:1", b"[::1]:8080", b"a.example:9", b"trivet"]
)
def test_own_names_and_a_missing_host_are_answered(host):
    hosts = OwnHosts(["A.example"])
    hosts.check(host, None)
    hosts.check(host, b"https://a.example")


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"2130706433",
        b"0x7f000001",
        b"evil.example",
        b"localhost.evil.example",
        b"127.0.0.1.nip.io",
        b"a@localhost",
        b"[",
        b"\xff",
        b"10.0.0.1",
    ],
)
@pytest.mark.parametrize("origin", [None, b"http://localhost", b"http://evil.example"])
def test_a_foreign_host_is_refused_whatever_the_origin(host, origin):
    with pytest.raises(UnknownHost, match="not a name of this platform") as caught:
        OwnHosts().check(host, origin)
    assert caught.value.reason == "unknown_host"
    assert "TRIVET_HOSTS" in str(caught.value.fix)


@pytest.mark.parametrize(
    "origin", [b"", b"null", b"file://", b"http://[", b"http://evil.example", b"http://a@localhost"]
)
def test_another_sites_page_is_refused(origin):
    for host in (None, b"localhost"):
        with pytest.raises(Forbidden, match="another site's page"):
            OwnHosts().check(host, origin)


def test_a_page_of_a_name_without_a_dot_may_use_that_name_only():
    hosts = OwnHosts()
    hosts.check(b"trivet:8080", b"http://trivet:8080")
    with pytest.raises(Forbidden):
        hosts.check(b"localhost", b"http://trivet:8080")


def test_beyond_loopback_addresses_are_own_names():
    hosts = OwnHosts(addresses=True)
    for host in (b"10.0.0.1:8080", b"[fd00::1]"):
        hosts.check(host, None)
        hosts.check(host, b"http://" + host)
        with pytest.raises(Forbidden):
            hosts.check(host, b"http://10.0.0.2")
    with pytest.raises(UnknownHost):
        hosts.check(b"10.0.0.1.nip.io", None)
    with pytest.raises(Forbidden):
        hosts.check(None, b"http://10.0.0.1")


def test_many_names_take_no_more_memory():
    hosts = OwnHosts()
    for port in range(2000):
        hosts.check(b"localhost:%d" % port, None)
    assert len(hosts._allowed) <= 256


@pytest.mark.parametrize("name", [b"authorization", b"host", b"origin"])
def test_headers_that_decide_may_occur_once(name):
    with pytest.raises(Invalid, match="occurs twice"):
        headers_by_name([(name, b"a"), (name, b"a")])
    assert headers_by_name([(name, b"a"), (b"x", b"1"), (b"x", b"2")]) == {name: b"a", b"x": b"2"}
