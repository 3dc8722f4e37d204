"""How a build reports progress."""

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """Called in the thread that called `ensure`, at most a few times a second."""

    def __call__(self, stage: str, detail: str, done: int | None, total: int | None) -> None:
        """Reports one step.

        Args:
            stage: `resolving` or `installing`.
            detail: one line for a person.
            done: packages that are in place, where that is known.
            total: packages in all, where that is known.
        """


def silent(stage: str, detail: str, done: int | None, total: int | None) -> None:
    """Reports nothing."""
