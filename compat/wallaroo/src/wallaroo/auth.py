"""Sign-in: Trivet has a token instead, so that nothing is to be done."""

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Auth", "MLOps", "logout"]


class Auth:
    """`wl.auth`.

    Args:
        header: returns the header that requests need.
    """

    def __init__(self, header: Callable[[], dict[str, str]]) -> None:
        self._header = header

    def auth_header(self) -> dict[str, str]:
        """The header that requests to the platform need, for a program's own HTTP client."""
        return self._header()

    def _bearer_token_str(self) -> str:
        """The token alone; empty if none is needed."""
        return self._header().get("Authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class MLOps:
    """The MLOps API, which notebooks read as `wl.mlops().__dict__`.

    Attributes:
        base_url: of the control API.
        token: that requests need.
        timeout: seconds that a request may take.
        prefix: before the token, in the header …
        auth_header_name: … of this name.
    """

    base_url: str
    token: str = field(repr=False)
    timeout: float
    prefix: str = "Bearer"
    auth_header_name: str = "Authorization"


def logout() -> None:
    """Do nothing: no sign-in is stored. The token stays where it is, in `TRIVET_TOKEN` or in the platform's home."""
