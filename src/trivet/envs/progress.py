"""How a build says what it is doing."""

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """Called from the thread that called `ensure`, a few times a second at most."""

    def __call__(self, stage: str, detail: str, done: int | None, total: int | None) -> None:
        """Says one thing.

        Args:
            stage: `resolving` or `installing`.
            detail: one line for a person.
            done: packages that are in place, where that is known.
            total: packages in all, where that is known.
        """


def silent(stage: str, detail: str, done: int | None, total: int | None) -> None:
    """Says nothing."""
