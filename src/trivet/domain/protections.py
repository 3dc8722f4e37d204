"""What keeps the code of models to its own files and processes, in words."""

from collections.abc import Iterable

import msgspec

__all__ = ["Protections", "protections_of"]

_SINCE = {
    "files of others": 1,
    "memory of other processes": 1,
    "truncation of files": 3,
    "signals": 6,
    "abstract sockets": 6,
}
_CALLS = "keys and limits of other processes"
_OWN_USER = "modes of files and priorities of processes"
_NETWORK = "network"


class Protections(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker can do to others.

    Attributes:
        landlock: the version of the kernel's Landlock that holds; 0 for none.
        own_user: whether it has a user id of its own.
        own_tmp: whether it has a `/tmp` of its own; else it may not use `/tmp`.
        closed: what is closed to it.
        open: what is open to it, as to any program of its user.
    """

    landlock: int
    own_user: bool
    own_tmp: bool
    closed: tuple[str, ...]
    open: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """All of it, for people."""
        if not self.landlock:
            closed = f"; closed to them: {_listed(self.closed)}" if self.closed else ""
            return f"models have the rights of the platform's user: they are not kept to their own files by Landlock{closed}"
        user = ", each as a user of its own" if self.own_user else ""
        tmp = " and a /tmp of their own" if self.own_tmp else ", none in /tmp"
        return f"models open only their own files{tmp} (Landlock {self.landlock}){user}; open to them: {_listed(self.open)}"


def protections_of(held: Iterable[str]) -> Protections:
    """What the report of a worker's sandbox means: see `trivet_worker.sandbox`."""
    words = set(held)
    landlock = max((int(word.partition(" ")[2]) for word in words if word.startswith("landlock ")), default=0)
    holds = {what: landlock >= since for what, since in _SINCE.items()}
    holds |= {_CALLS: "seccomp" in words, _OWN_USER: "own user" in words, _NETWORK: "no network" in words}
    return Protections(
        landlock=landlock,
        own_user="own user" in words,
        own_tmp="own /tmp" in words,
        closed=tuple(what for what, closed in holds.items() if closed),
        open=tuple(what for what, closed in holds.items() if not closed),
    )


def _listed(words: tuple[str, ...]) -> str:
    return "; ".join(words) or "nothing"
