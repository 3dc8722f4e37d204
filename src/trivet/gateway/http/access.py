"""Who may ask for predictions: everyone who reaches the listener, or whoever brings a token."""

import hmac
from collections.abc import Iterable

__all__ = ["GatewayAccess"]

SCHEME = b"bearer "


class GatewayAccess:
    """Bearer tokens, one of which a request must bring.

    Args:
        tokens: what is taken; at least one.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = [token.encode() for token in tokens]
        if not self._tokens or not all(self._tokens):
            raise ValueError("access by token needs a token")

    def allows(self, authorization: bytes) -> bool:
        """Whether an `Authorization` header brings one. Each token is compared in full, whatever was sent."""
        if authorization[: len(SCHEME)].lower() != SCHEME:
            return False
        given = authorization[len(SCHEME) :].strip()
        return any([hmac.compare_digest(given, token) for token in self._tokens])  # noqa: C419 - all, not the first
