"""Access to a worker: every call must have the token that the worker got at its start."""

import hmac
from typing import Dict, List, Union

from pyarrow import flight

__all__ = ["TokenCheck"]


class TokenCheck(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Refuses a call without the token before it reads the rest of the call.

    Args:
        token: expected as `authorization: Bearer <token>`.
    """

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    def start_call(self, info: flight.CallInfo, headers: "Dict[str, List[Union[str, bytes]]]") -> None:  # noqa: ARG002
        """Called by Flight at the start of each call."""
        for given in headers.get("authorization", ()):
            if hmac.compare_digest(given if isinstance(given, bytes) else given.encode(), self._expected):
                return
        raise flight.FlightUnauthenticatedError("the call has no token, or a wrong one")
