"""An error as a value, for the database and for messages between Trivet's processes."""

from typing import Self

import msgspec

import trivet.errors
from trivet.errors import Internal, TrivetError

__all__ = ["Fault"]


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What, why, fix, path and reason of a `TrivetError`, and the name of its class."""

    error: str
    what: str
    why: str | None = None
    fix: str | None = None
    path: str | None = None
    reason: str | None = None

    @classmethod
    def of(cls, error: TrivetError) -> Self:
        """An error's fault."""
        return cls(
            error=type(error).__name__,
            what=error.what,
            why=error.why,
            fix=error.fix,
            path=error.path,
            reason=error.reason,
        )

    @property
    def message(self) -> str:
        """What and why in one text."""
        return f"{self.what}: {self.why}" if self.why else self.what

    def exception(self) -> TrivetError:
        """The error again."""
        kind = getattr(trivet.errors, self.error, Internal)
        if not (isinstance(kind, type) and issubclass(kind, TrivetError)):
            kind = Internal
        return kind(self.what, why=self.why, fix=self.fix, path=self.path, reason=self.reason)
