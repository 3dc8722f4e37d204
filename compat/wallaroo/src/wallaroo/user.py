"""Users: Trivet has one, the owner of the token."""

from collections.abc import Mapping
from typing import Any

from wallaroo.lists import Shown

__all__ = ["User", "UserList"]


class User:
    """A user.

    Args:
        document: the MLOps API's.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def id(self) -> str:
        """The user's id."""
        return str(self._document["id"])

    def username(self) -> str:
        """The user's name."""
        return str(self._document["username"])

    def email(self) -> str:
        """The user's address: Trivet knows none, so that it is the name."""
        return str(self._document["email"])

    def is_enabled(self) -> bool:
        """Whether the user may use the platform."""
        return bool(self._document["enabled"])

    def __repr__(self) -> str:
        return f"User({self.username()!r})"


class UserList(Shown[User]):
    """Users, shown as a table."""

    empty = "(no users)"

    @staticmethod
    def row(thing: User) -> dict[str, Any]:
        """A user's row."""
        return {"Id": thing.id(), "Username": thing.username(), "Enabled": thing.is_enabled()}
