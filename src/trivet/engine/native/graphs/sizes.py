"""Upper bounds of sizes: polynomials in the sizes that a request chooses."""

from collections import Counter
from collections.abc import Mapping
from typing import Self, TypeAlias

__all__ = ["NotHarmless", "Size", "Symbols", "product"]

Symbols: TypeAlias = tuple[str, ...]
"""A product of sizes that a request chooses, sorted; a power repeats its symbol."""

# A model of the usual kinds stays far below; without a limit, a graph could make the bounds themselves grow.
MAX_TERMS = 64
MAX_DEGREE = 8
MAX_FACTOR = 2**63


class NotHarmless(Exception):
    """A graph may run unbounded, or end the process.

    Args:
        why: the rest of a sentence that begins with "the operator X", or a whole one.
        is_whole: whether it is a whole sentence.
    """

    def __init__(self, why: str, *, is_whole: bool = False) -> None:
        super().__init__(why)
        self.is_whole = is_whole


class Size:
    """A size that is at most a polynomial, or exactly that.

    Args:
        terms: a factor for each product of symbols. A single negative constant may stand for itself.
        exact: whether the size is always that of the polynomial.
    """

    __slots__ = ("exact", "terms")

    def __init__(self, terms: Mapping[Symbols, int], *, exact: bool = True) -> None:
        self.terms = {symbols: factor for symbols, factor in terms.items() if factor}
        self.exact = exact
        if len(self.terms) > MAX_TERMS or any(
            len(symbols) > MAX_DEGREE or factor > MAX_FACTOR for symbols, factor in self.terms.items()
        ):
            raise NotHarmless("has a size that grows beyond every limit")

    @classmethod
    def of(cls, number: int) -> Self:
        """Exactly a number."""
        return cls({(): number})

    @classmethod
    def chosen(cls, symbol: str) -> Self:
        """Exactly a size that the request chooses."""
        return cls({(symbol,): 1})

    @property
    def known(self) -> int | None:
        """The number that it always is, if any."""
        return self.limit if self.exact else None

    @property
    def limit(self) -> int | None:
        """The number that it is at most, if no request decides that."""
        return self.terms.get((), 0) if not self.terms.keys() - {()} else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self.exact == other.exact and self.terms == other.terms

    def __hash__(self) -> int:
        return hash((self.exact, frozenset(self.terms.items())))

    def __repr__(self) -> str:
        parts = ["·".join((str(factor), *symbols)) for symbols, factor in self.terms.items()]
        return ("" if self.exact else "≤ ") + (" + ".join(parts) or "0")

    def __add__(self, other: "Size") -> "Size":
        if not (self.is_negative or other.is_negative):
            return Size(Counter(self.terms) + Counter(other.terms), exact=self.exact and other.exact)
        one, two = self.known, other.known
        if one is not None and two is not None:
            return Size.of(one + two)
        return (other if self.is_negative else self).at_most()

    def __mul__(self, other: "Size") -> "Size":
        terms: Counter[Symbols] = Counter()
        for one, factor in self.terms.items():
            for two, another in other.terms.items():
                terms[tuple(sorted((*one, *two)))] += factor * another
        return Size(terms, exact=self.exact and other.exact)

    @property
    def is_negative(self) -> bool:
        """Whether it is a negative constant."""
        return self.terms.get((), 0) < 0

    def at_most(self) -> "Size":
        """The same polynomial as a bound only."""
        return Size(self.terms, exact=False)

    def most(self, other: "Size") -> "Size":
        """The larger of two."""
        if self == other:
            return self
        one, two = self.known, other.known
        if one is not None and two is not None:
            return Size.of(max(one, two))
        symbols = {*self.terms, *other.terms}
        return Size({each: max(self.terms.get(each, 0), other.terms.get(each, 0)) for each in symbols}, exact=False)

    def least(self, other: "Size") -> "Size":
        """The smaller of two, or a bound of it."""
        if self == other:
            return self
        one, two = self.known, other.known
        if one is not None and two is not None:
            return Size.of(min(one, two))
        limits = [each for each in (self.limit, other.limit) if each is not None]
        return Size({(): max(0, min(limits))}, exact=False) if limits else self.at_most()

    def over(self, other: "Size") -> "Size":
        """This divided by another size that is at least 1, rounded up where it must be."""
        if len(other.terms) != 1 or not other.exact or other.is_negative:
            return self.at_most()
        (divisor, factor) = next(iter(other.terms.items()))
        terms, exact = {}, self.exact
        for symbols, own in self.terms.items():
            rest = Counter(symbols)
            rest.subtract(divisor)
            if min(rest.values(), default=0) < 0:
                return self.at_most()
            exact = exact and own % factor == 0
            terms[tuple(sorted(rest.elements()))] = -(-own // factor)
        return Size(terms, exact=exact)


def product(sizes: "tuple[Size, ...]") -> Size:
    """The product of sizes."""
    result = Size.of(1)
    for each in sizes:
        result = result * each
    return result
