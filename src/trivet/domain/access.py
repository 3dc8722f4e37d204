"""Who may do what on a platform: the one rule."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from trivet.errors import Forbidden

__all__ = ["OWNER", "Action", "Caller", "Callers", "Role", "callers_of", "check", "may"]


class Action(StrEnum):
    """What a caller can do. The text completes the sentence "the caller may not …"."""

    VIEW = "view this platform"
    READ_LOGS = "read inference logs"
    CREATE_WORKSPACE = "create workspaces"
    UPLOAD_MODEL = "upload models"
    CONFIGURE_MODEL = "configure models"
    DELETE_MODEL = "delete models"
    CREATE_PIPELINE = "create pipelines"
    DEPLOY = "deploy or undeploy pipelines"
    DELETE_PIPELINE = "delete pipelines"
    PREDICT = "request predictions"


class Role(StrEnum):
    """What a caller is on a platform."""

    OWNER = "owner"
    CLIENT = "client"


ALLOWED: Final[Mapping[Role, frozenset[Action]]] = {
    Role.OWNER: frozenset(Action),
    Role.CLIENT: frozenset({Action.PREDICT}),
}
"""The actions of each role. A new role is a row here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who sends a request. Made where a token is checked, and handed to every use case."""

    name: str
    roles: frozenset[Role] = field(default_factory=frozenset)


OWNER: Final = Caller(name="owner", roles=frozenset({Role.OWNER}))
"""The only user so far: whose request has the platform's token."""


Callers: TypeAlias = Callable[[bytes], Caller | None]
"""Who has a token; None for a token that is not valid."""


def callers_of(by_token: Mapping[str, Caller]) -> Callers:
    """The callers of a platform by their tokens, of which none is empty. Each token is compared in full."""
    known = [(token.encode(), caller) for token, caller in by_token.items()]
    if not all(token for token, _ in known):
        raise ValueError("a token is empty")

    def caller_of(given: bytes) -> Caller | None:
        # A list, so that all tokens are compared whichever one matches.
        found = [caller for token, caller in known if hmac.compare_digest(given, token)]
        return found[0] if found else None

    return caller_of


def may(caller: Caller, action: Action, workspace: int | str | None = None) -> bool:
    """Whether a caller may do something.

    Args:
        caller: who asks.
        action: what for.
        workspace: where, as the request names it; None for the whole platform, and where the request names none: then the use
            case asks again with the id of the workspace, once it has found what the request is about. No role depends on it yet.
    """
    del workspace
    return any(action in ALLOWED[role] for role in caller.roles)


def check(caller: Caller, action: Action, workspace: int | str | None = None) -> None:
    """Refuse what a caller may not do. The arguments are those of `may`.

    Raises:
        Forbidden: the caller may not.
    """
    if not may(caller, action, workspace):
        raise Forbidden(
            f"{caller.name!r} may not {action}",
            why="no role of this caller allows it",
            fix="use the owner's token, or ask the owner to do it",
        )
