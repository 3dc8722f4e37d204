"""The names that a framework's pickles may have, from one data file for each framework."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from trivet.packaging.pickles.values import Global

__all__ = ["Allowed", "allowed_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """Names that a pickle may have.

    Attributes:
        called: classes and functions that it may call.
        named: what it may only refer to, such as a type in an array's description.
    """

    called: frozenset[Global]
    named: frozenset[Global]

    def __contains__(self, found: Global) -> bool:
        return found in self.called or found in self.named


@cache
def allowed_of(*lists: str) -> Allowed:
    """The names in the data files of that name, in `names`.

    A line is a module and its names: `numpy: dtype =float64`. A name behind `=` is never called. `#` begins a comment.
    """
    called: set[Global] = set()
    named: set[Global] = set()
    for each in lists:
        text = (files("trivet.packaging.pickles") / "names" / f"{each}.txt").read_text()
        for line in text.splitlines():
            module, colon, names = line.partition("#")[0].partition(":")
            for name in names.split() if colon else ():
                (named if name.startswith("=") else called).add(Global(module.strip(), name.removeprefix("=")))
    return Allowed(called=frozenset(called), named=frozenset(named))
