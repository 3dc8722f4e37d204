"""A certificate and its key in files, made by openssl: what cannot be served says why, and a new one is used without a restart."""

import re
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from trivet.errors import Invalid
from trivet.gateway.certificates import Certificate, ServerTls, read_certificate

EC = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def openssl(*words: str | Path) -> None:
    try:
        made = subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        pytest.skip("no openssl")
    assert made.returncode == 0, made.stderr


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Path]]:
    """`pairs("a")` are the files of a certificate and its key."""
    folder = tmp_path_factory.mktemp("tls")

    def make(name: str, *, kind: tuple[str, ...] = EC, lock: bool = False, days: int = 9) -> tuple[Path, Path]:
        cert, key, request = (folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        if not cert.exists():
            locked = ("-passout", "pass:secret") if lock else ("-nodes",)
            openssl("req", "-new", "-newkey", *kind, *locked, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
            unlock = ("-passin", "pass:secret") if lock else ()
            openssl("x509", "-req", "-in", request, "-signkey", key, *unlock, "-days", str(days), "-out", cert)
        return cert, key

    return make


def test_a_certificate_is_served_and_another_one_takes_its_place(pairs):
    first, second = (read_certificate(*pairs(name)) for name in ("first", "second"))
    tls = ServerTls(first)
    assert name_shown(tls.context) == "first"
    tls.renew(second)
    assert name_shown(tls.context) == "second"
    assert "KEY" not in repr(second)


def name_shown(server: ssl.SSLContext) -> str:
    """The common name of the certificate that a handshake in memory shows."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    shown = ours.getpeercert(binary_form=True)
    found = re.search(rb"(first|second)", shown)
    assert found is not None
    return found[1].decode()


@pytest.mark.parametrize(
    ("files", "message", "fix"),
    [
        (lambda p: (p("a")[0], p("b")[1]), "does not belong to the certificate", "replace both"),
        (lambda p: p("weak", kind=("rsa:1024",)), "is too weak: clients refuse it", "2048 bits"),
        (lambda p: p("locked", lock=True), "is locked: it is encrypted with a passphrase", "openssl pkey"),
        (lambda p: p("old", days=-1), "has expired", "valid now"),
        (lambda p: (p("a")[0], p("a")[0]), "has no PEM block `BEGIN PRIVATE KEY`", "--tls-key"),
        (lambda p: (p("a")[1], p("a")[1]), "has no PEM block `BEGIN CERTIFICATE`", "--tls-cert"),
        (lambda p: (p("a")[0], p("a")[1].with_name("none")), "No such file", "--tls-key"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_says_why_and_how_to_fix_it(pairs, files, message, fix):
    with pytest.raises(Invalid) as refused:
        read_certificate(*files(pairs))
    assert refused.value.reason == "bad_certificate"
    assert message in refused.value.message
    assert fix in refused.value.fix


def test_damaged_pem_is_refused(pairs, tmp_path):
    cert, key = pairs("a")
    damaged = tmp_path / "damaged.pem"
    damaged.write_text(cert.read_text().replace("M", "!", 3))
    with pytest.raises(Invalid, match="cannot serve as certificate and key"):
        read_certificate(damaged, key)


def test_the_key_is_not_shown(pairs):
    certificate = read_certificate(*pairs("a"))
    assert isinstance(certificate, Certificate)
    assert "PRIVATE" not in repr(certificate)
