"""What a request may become once it is decoded, and how large its answer may be: one count for each request, and of all together.

Every format asks here before it allocates. The limit is on what a request becomes, because a few hundred bytes of Arrow can
stand for gigabytes: compressed buffers, bits, values without bytes, one batch that is named a thousand times.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from trivet.domain.held_bytes import HeldBytes, Hold
from trivet.errors import TooLarge

__all__ = ["MOST_TIMES", "SMALL", "Allowance", "too_large", "uncounted_rows"]

MOST_TIMES: Final = 100
FREE: Final = 2**20
# What is smaller is not counted: how many of such requests there are is limited for each model, and counting costs time.
SMALL: Final = 64 * 2**10
# Several steps may each copy a small request: inflate it, join its batches, widen a column.
FREE_IN_TOTAL: Final = 4 * FREE
# What the rows of an answer carry besides the model's outputs: names, metadata, the request itself.
FREE_ANSWER: Final = 16 * 2**20
MOST_ANSWER: Final = 2**30
# How wide a row of outputs is belongs to the model, so a small request gets more of them.
FREE_OUTPUTS: Final = 64 * 2**20


def too_large(max_bytes: int) -> TooLarge:
    """The error for a body beyond the limit."""
    return TooLarge(
        f"the body is larger than {max_bytes / 2**20:g} MiB",
        fix="send fewer rows at once, send Arrow, or raise --max-body",
    )


def uncounted_rows(bytes_a_row: int) -> int:
    """How many rows of so many bytes, outputs included, `Allowance.hold_rows` does not count."""
    return SMALL // max(1, bytes_a_row)


class Allowance(Hold):
    """What one request may still allocate: a hundred times of what was sent, at least a few mebibytes; and what it holds.

    Args:
        sent: bytes of the body as it arrived, compressed or not.
        max_bytes: limit on the body, and on what one step may allocate, however much was sent.
        held: what all requests of the process hold.

    Attributes:
        sent: as given, and what arrived since.
        max_bytes: as given.
    """

    __slots__ = ("_body", "_spent", "max_bytes", "sent")

    def __init__(self, sent: int = 0, max_bytes: int = 2**62, held: HeldBytes | None = None) -> None:
        super().__init__(held)
        self.sent = sent
        self.max_bytes = max_bytes
        self._spent = 0
        self._body = 0

    def expect(self, nbytes: int) -> None:
        """Refuse a body of a length that is known before it arrives.

        Raises:
            TooLarge, Overloaded: there is no room for it.
        """
        if nbytes > self.max_bytes:
            raise too_large(self.max_bytes)
        self._all.check(nbytes)

    def arrive(self, nbytes: int, *, is_whole: bool = False) -> None:
        """Count a piece of the body, unless it is whole and small. Raises as `expect` does."""
        self.sent += nbytes
        if self.sent > self.max_bytes:
            raise too_large(self.max_bytes)
        if not is_whole or nbytes > SMALL:
            self.hold(nbytes)
            self._body = self._held

    def keep(self, nbytes: int) -> None:
        """Count what the request holds beside its body, as long as that. Raises as `hold` does."""
        self.hold(nbytes)
        self._body = self._held

    @contextmanager
    def holding(self, nbytes: int) -> Iterator[None]:
        """Count what is held within a `with` block. Raises as `hold` does."""
        self.hold(nbytes)
        try:
            yield
        finally:
            self.give_back(nbytes)

    def decode_again(self) -> None:
        """What was decoded is not held any more: another version decodes the body."""
        self.give_back(self._held - self._body)
        self._spent = 0

    @property
    def most(self) -> int:
        """Bytes that one step may allocate."""
        times = MOST_TIMES * self.sent
        return min(self.max_bytes, max(FREE, times), max(FREE_IN_TOTAL, times) - self._spent)

    def check(self, nbytes: int, what: str, *, fix: str, path: str | None = None) -> None:
        """Refuse what is too large, without counting it.

        Raises:
            TooLarge: `nbytes` is more than one step may allocate.
        """
        most = self.most
        if nbytes > most:
            raise TooLarge(
                what,
                why=f"{nbytes} bytes are needed; the limit is {most} for a body of {self.sent}",
                fix=fix,
                path=path,
            )

    def spend(self, nbytes: int, what: str, *, fix: str, path: str | None = None) -> None:
        """Count what is about to be allocated. Raises as `check` and `hold` do."""
        self.check(nbytes, what, fix=fix, path=path)
        self._spent += nbytes
        self.hold(nbytes)

    def hold_rows(self, rows: int, *, columns: int, bytes_a_row: int) -> None:
        """Count a decoded request and its outputs, before the model sees the rows.

        Args:
            rows: of the request.
            columns: bytes of its columns.
            bytes_a_row: of the outputs.

        Raises:
            TooLarge: the outputs would be far larger than the request.
            Overloaded: there is no room for them.
        """
        nbytes = rows * bytes_a_row
        most = max(FREE_OUTPUTS, MOST_TIMES * self.sent)
        if nbytes > most:
            raise TooLarge(
                f"the outputs of {rows} rows would be too large",
                why=f"the model answers {bytes_a_row} bytes a row; a body of {self.sent} bytes may have {most} bytes of outputs",
                fix="send fewer rows at once",
            )
        if columns + nbytes > SMALL:
            self.hold(columns + nbytes)

    def check_answer(self, rows: int, *, bytes_a_row: int, echoed: int) -> None:
        """Refuse an answer that would be large for what it says besides the outputs; count it if it is not small.

        Args:
            rows: of the answer.
            bytes_a_row: names, time, anomaly and metadata of a row in the answer's format.
            echoed: bytes of the request's own columns in the answer's format.

        Raises:
            TooLarge: it would be more than a hundred times of what was sent, or more than a gibibyte.
            Overloaded: there is no room for it.
        """
        nbytes = rows * bytes_a_row + echoed
        most = min(MOST_ANSWER, max(FREE_ANSWER, MOST_TIMES * self.sent))
        if nbytes > most:
            raise TooLarge(
                f"the answer to {rows} rows would be too large",
                why=f"besides the outputs it would hold {nbytes} bytes; a body of {self.sent} bytes may have {most}",
                fix="send fewer rows at once, or ask for less: ?dataset[]=out",
            )
        if nbytes > SMALL:
            self.hold(nbytes)
