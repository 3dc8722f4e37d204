"""The certificate of a process's listeners: read and checked as a whole, and renewed without a restart."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trivet.errors import Invalid

__all__ = ["Certificate", "ServerTls", "read_certificate"]

MOST_BYTES = 2**20
NOT_YET_VALID, EXPIRED = 9, 10  # as OpenSSL numbers them
MISMATCH: Final = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}
TOO_WEAK: Final = {"EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "MD_TOO_WEAK", "KEY_SIZE_TOO_SMALL"}
ANOTHER: Final = "give a certificate that is valid now, with its key"


class _LockedError(Exception):
    """The key is encrypted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """A certificate with its chain, and its key, as texts in PEM."""

    chain: str
    key: str = field(repr=False)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Use it for the next handshakes.

        Raises:
            ssl.SSLError, OSError: the two are not a certificate and its key. The context may then hold a half of them.
            _LockedError: the key is encrypted.
        """
        # The standard library takes paths only; these are of memory, so that no copy of the key gets on a disk.
        with _as_file(self.chain) as chain, _as_file(self.key) as key:
            context.load_cert_chain(chain, key, password=_refuse_password)


class ServerTls:
    """What servers encrypt with. All listeners of a process share it.

    Args:
        certificate: from `read_certificate`.

    Attributes:
        certificate: the current one.
        context: of the standard library; it stays the same when the certificate is renewed.
    """

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.load_into(self.context)

    def renew(self, certificate: Certificate) -> None:
        """Use another certificate, from `read_certificate`, for new connections."""
        certificate.load_into(self.context)
        self.certificate = certificate


def read_certificate(cert: Path, key: Path) -> Certificate:
    """A certificate and its key, which belong together and can be used now.

    Args:
        cert: PEM file with the certificate and its chain.
        key: PEM file with its key.

    Raises:
        Invalid: one cannot be read or used; the error says why.
    """
    certificate = Certificate(
        chain=_read(cert, "CERTIFICATE", "the certificate", "--tls-cert"),
        key=_read(key, "PRIVATE KEY", "the certificate's key", "--tls-key"),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        certificate.load_into(context)
    except _LockedError:
        raise Invalid(
            f"the key in {key} is locked",
            why="it is encrypted with a passphrase, which a server cannot type",
            fix=f"store it without one, readable by its owner only: openssl pkey -in {key.name} -out unlocked.pem",
            reason="bad_certificate",
        ) from None
    except OSError as error:  # `ssl.SSLError` is one
        raise _unusable(error, cert=cert, key=key) from error
    _check_dates(context, certificate, cert)
    return certificate


def _read(path: Path, kind: str, what: str, flag: str) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES).decode("ascii", errors="replace")
    except OSError as error:
        raise Invalid(
            f"{what} cannot be read from {path}",
            why=error.strerror or str(error),
            fix=f"check {flag}, and that the user that runs Trivet may read the file",
            reason="bad_certificate",
        ) from error
    if f"{kind}-----" not in text:
        raise Invalid(
            f"{path} does not hold {what}",
            why=f"it has no PEM block `BEGIN {kind}`",
            fix=f"give a PEM file with {flag}",
            reason="bad_certificate",
        )
    return text


def _unusable(error: OSError, *, cert: Path, key: Path) -> Invalid:
    reason = getattr(error, "reason", None) or ""
    if reason in MISMATCH:
        return Invalid(
            f"the key in {key} does not belong to the certificate in {cert}",
            fix="give the key that the certificate was made with; if both are replaced, replace both",
            reason="bad_certificate",
        )
    if reason in TOO_WEAK:
        return Invalid(
            f"the certificate in {cert} is too weak",
            why=f"clients refuse it ({reason})",
            fix="make one with an RSA key of 2048 bits or more, or an elliptic curve, and SHA-256",
            reason="bad_certificate",
        )
    return Invalid(
        f"{cert} and {key} cannot serve as certificate and key",
        why=error.strerror or str(error),
        fix="give a PEM file with the certificate and its chain, and one with the key that belongs to it",
        reason="bad_certificate",
    )


def _check_dates(context: ssl.SSLContext, certificate: Certificate, path: Path) -> None:
    """Refuse a certificate outside of its dates, which only a client's handshake checks: here one in memory."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # The certificate is trusted as it is, by its own signature or another one.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client.load_verify_locations(cadata=certificate.chain)
        sides = [client.wrap_bio(to_client, to_server), context.wrap_bio(to_server, to_client, server_side=True)]
        for side in 2 * sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in (EXPIRED, NOT_YET_VALID):
            word = "has expired" if error.verify_code == EXPIRED else "is not valid yet"
            raise Invalid(f"the certificate in {path} {word}", fix=ANOTHER, reason="bad_certificate") from error
    except ssl.SSLError:
        # What else a client may find wrong depends on the client.
        return


def _refuse_password() -> str:
    raise _LockedError


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """A path to the text, for the length of a `with` block."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("trivet-tls")
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(text.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as named:
        named.write(text.encode())
        named.flush()
        yield named.name
