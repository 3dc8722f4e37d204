"""Who may ask for predictions: every client that reaches the listener, or only clients with a token."""

import hmac
from collections.abc import Iterable

from trivet.domain.access import Caller

__all__ = ["GatewayAccess"]

SCHEME = b"bearer "
CLIENT = Caller(name="client")
"""A client of the gateway. It has no role: a token of the gateway is good for predictions and for nothing else."""


class GatewayAccess:
    """Bearer tokens, one of which a request must carry.

    Args:
        tokens: the accepted tokens; at least one.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = [token.encode() for token in tokens]
        if not self._tokens or not all(self._tokens):
            raise ValueError("access by token needs a token")

    def caller(self, authorization: bytes) -> Caller | None:
        """Who sends an `Authorization` header; None without an accepted token. Each token is compared in full."""
        if authorization[: len(SCHEME)].lower() != SCHEME:
            return None
        given = authorization[len(SCHEME) :].strip()
        # A list, so that all tokens are compared whichever one matches.
        is_known = any([hmac.compare_digest(given, token) for token in self._tokens])  # noqa: C419
        return CLIENT if is_known else None
