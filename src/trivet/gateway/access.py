"""Who may ask for predictions: every client that reaches the listener, or only clients with a token."""

from collections.abc import Iterable

from trivet.domain.access import Caller, Role, callers_of
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
        self.renew(tokens)

    def renew(self, tokens: Iterable[str]) -> None:
        """Accept these tokens from now on, and no others; at least one."""
        tokens = list(tokens)
        if not tokens:
            raise ValueError("access by token needs a token")
        self._callers = callers_of(dict.fromkeys(tokens, CLIENT))

    def caller(self, authorization: bytes | None) -> Caller:
        """Who sends an `Authorization` header. Each token is compared in full.

        Raises:
            Unauthorized: there is no such header, or its token is not accepted.
        """
        if authorization is None:
            raise Unauthorized("the request has no token", fix=FIX)
        if authorization[: len(SCHEME)].lower() == SCHEME:
            caller = self._callers(authorization[len(SCHEME) :].strip())
            if caller is not None:
                return caller
        raise Unauthorized("the token is not one that is taken", fix=FIX)
