"""What a request may become once it is decoded, and how large its answer may be: one count for each request.

Every format asks here before it allocates. The limit is on what a request becomes, because a few hundred bytes of Arrow can
stand for gigabytes: compressed buffers, bits, values without bytes, one batch that is named a thousand times.
"""

from typing import Final

from trivet.errors import TooLarge

__all__ = ["MOST_TIMES", "Allowance", "too_large"]

MOST_TIMES: Final = 100
FREE: Final = 2**20
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


class Allowance:
    """What one request may still allocate: a hundred times of what was sent, at least a few mebibytes.

    Args:
        sent: bytes of the body as it arrived, compressed or not.
        max_bytes: limit on what one step may allocate, however much was sent.

    Attributes:
        sent: as given.
        max_bytes: as given.
    """

    __slots__ = ("_spent", "max_bytes", "sent")

    def __init__(self, sent: int, max_bytes: int = 2**62) -> None:
        self.sent = sent
        self.max_bytes = max_bytes
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
        """Count what is about to be allocated. Raises as `check` does."""
        self.check(nbytes, what, fix=fix, path=path)
        self._spent += nbytes

    def check_outputs(self, rows: int, *, bytes_a_row: int) -> None:
        """Refuse rows whose outputs would be far larger than the request, before the model sees them.

        Raises:
            TooLarge: they are too many for their width.
        """
        nbytes = rows * bytes_a_row
        most = max(FREE_OUTPUTS, MOST_TIMES * self.sent)
        if nbytes > most:
            raise TooLarge(
                f"the outputs of {rows} rows would be too large",
                why=f"the model answers {bytes_a_row} bytes a row; a body of {self.sent} bytes may have {most} bytes of outputs",
                fix="send fewer rows at once",
            )

    def check_answer(self, rows: int, *, bytes_a_row: int, echoed: int) -> None:
        """Refuse an answer that would be large for what it says besides the outputs.

        Args:
            rows: of the answer.
            bytes_a_row: names, time, anomaly and metadata of a row in the answer's format.
            echoed: bytes of the request's own columns in the answer's format.

        Raises:
            TooLarge: it would be more than a hundred times of what was sent, or more than a gibibyte.
        """
        nbytes = rows * bytes_a_row + echoed
        most = min(MOST_ANSWER, max(FREE_ANSWER, MOST_TIMES * self.sent))
        if nbytes > most:
            raise TooLarge(
                f"the answer to {rows} rows would be too large",
                why=f"besides the outputs it would hold {nbytes} bytes; a body of {self.sent} bytes may have {most}",
                fix="send fewer rows at once, or ask for less: ?dataset[]=out",
            )
