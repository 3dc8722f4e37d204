"""The platform's token and certificate, as the parent gives them to its processes: see `credential_files`."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from trivet.gateway.certificates import Certificate, ServerTls
from trivet.wiring.parent_lines import ParentLines

__all__ = ["Credentials", "follow_credentials", "server_tls"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """What clients have to bring, and what the listeners show them.

    Attributes:
        token: the owner's.
        certificate: None without TLS.
    """

    token: str = field(repr=False)
    certificate: Certificate | None = None

    def to_json(self) -> dict[str, Any]:
        """Values for `from_json`. They are secret."""
        certificate = self.certificate
        pem = None if certificate is None else {"chain": certificate.chain, "key": certificate.key}
        return {"token": self.token, "certificate": pem}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        pem = values["certificate"]
        return cls(token=values["token"], certificate=None if pem is None else Certificate(**pem))


def server_tls(credentials: Credentials) -> ServerTls | None:
    """What the listeners of a process encrypt with; None without TLS."""
    return None if credentials.certificate is None else ServerTls(credentials.certificate)


def follow_credentials(lines: ParentLines, *, tls: ServerTls | None, renew_token: Callable[[str], None]) -> None:
    """Use the credentials that the parent sends from now on, for new connections and requests. Call it in the event loop.

    Args:
        lines: from the parent; each has the values of `Credentials.to_json`.
        tls: what the listeners encrypt with.
        renew_token: takes the new token.
    """

    def take(line: bytes) -> None:
        fresh = Credentials.from_json(json.loads(line))
        if tls is not None and fresh.certificate is not None:
            tls.renew(fresh.certificate)
        renew_token(fresh.token)

    lines.follow(asyncio.get_running_loop(), take)
