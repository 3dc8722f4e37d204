"""Who may ask for predictions: every client that reaches the listener, or only clients with a token."""

import hmac
from collections.abc import Iterable

from trivet.domain.access import Caller, Role
from trivet.errors import Unauthorized

__all__ = ["GatewayAccess"]

SCHEME = b"bearer "
FIX = "send the header Authorization: Bearer <token>"
CLIENT = Caller(name="client", roles=frozenset({Role.CLIENT}))
"""Who has a token of the gateway."""


class GatewayAccess:
    """Bearer tokens, one of which a request must carry.

    Args:
        tokens: the accepted tokens; at least one.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = [token.encode() for token in tokens]
        if not self._tokens or not all(self._tokens):
            raise ValueError("access by token needs a token")

    def caller(self, authorization: bytes | None) -> Caller:
        """Who sends an `Authorization` header. Each token is compared in full.

        Raises:
            Unauthorized: there is no such header, or its token is not accepted.
        """
        if authorization is None:
            raise Unauthorized("the request has no token", fix=FIX)
        if authorization[: len(SCHEME)].lower() == SCHEME:
            given = authorization[len(SCHEME) :].strip()
            # A list, so that all tokens are compared whichever one matches.
            if any([hmac.compare_digest(given, token) for token in self._tokens]):  # noqa: C419
                return CLIENT
        raise Unauthorized("the token is not one that is taken", fix=FIX)
