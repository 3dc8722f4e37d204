"""`Call = Rows | Raw`: what waits in a model's queue, and what a raw call is answered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import pyarrow as pa

from trivet.domain.held_bytes import Hold
from trivet.engine.batch import Batch
from trivet.errors import TrivetError
from trivet_worker.tensors import OutputMismatch, fixed_shape, form_of

__all__ = ["ArrivingAnswer", "Call", "Headers", "Outcome", "Piece", "Raw", "RawAnswer", "Rows"]

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they came."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch. Its rows may be cut into pieces.

    Attributes:
        batch: the rows.
        joins: whether they may share a call with rows of other requests.
    """

    batch: Batch
    joins: bool

    @property
    def rows(self) -> int:
        """How many records."""
        return self.batch.rows

    @property
    def nbytes(self) -> int:
        """About how many bytes the columns hold."""
        return self.batch.nbytes

    @property
    def form(self) -> Hashable:
        """What the model's arrays look like beside their rows; equal to no other where the batch cannot be sent."""
        try:
            return tuple(_form(self.batch, index) for index in range(len(self.batch.columns)))
        except (pa.ArrowException, OutputMismatch, ValueError, TypeError, OverflowError):
            return object()


def _form(batch: Batch, index: int) -> Hashable:
    column = batch.columns[index]
    if (
        isinstance(column, np.ndarray)
        and column.dtype != object
        and fixed_shape(batch.schema.field(index).type) is not None
    ):
        return False
    return form_of(batch.arrow(index))


@dataclass(frozen=True, kw_only=True, slots=True)
class Raw:
    """A request that the model reads itself: never joined, never cut.

    Attributes:
        content_type: of the body; empty where the client gave none.
        path: what follows the address of the model, with its query.
        headers: those that the model may need.
        body: the bytes as the client sent them, decompressed.
    """

    form: ClassVar[None] = None
    joins: ClassVar[bool] = False
    rows: ClassVar[int] = 1

    content_type: str
    path: str
    headers: Headers = ()
    body: bytes

    @property
    def nbytes(self) -> int:
        """How many bytes the body has."""
        return len(self.body)


Call: TypeAlias = Rows | Raw


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One message of a raw call's answer. `status`, `content_type` and `headers` count in the first one only."""

    data: bytes
    last: bool
    status: int = 0
    content_type: str = ""
    headers: Headers = ()


Outcome: TypeAlias = Batch | Piece | TrivetError
"""What ends a call; an answer of several pieces ends with its last one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawAnswer:
    """What a model answers to a raw call.

    Attributes:
        status: as HTTP counts, 200 to 599.
        content_type: of the body.
        headers: more headers that the model gives.
        nbytes: of the body; None where it comes in several pieces.
        pieces: the body, in pieces as they come, none of them empty. Iterating raises `TrivetError` where the rest does not come.
        leave: to be called when no more pieces are needed: the model then ends the answer.
        count: counts the pieces that have arrived and were not passed on, from now on. Raises as `Hold.hold` does; if there is no
            room for a later piece, iterating raises that.
    """

    status: int
    content_type: str
    headers: Headers
    nbytes: int | None
    pieces: AsyncIterator[bytes]
    leave: Callable[[], None]
    count: Callable[[Hold], None]

    async def body(self) -> bytes:
        """All pieces together. Raises as iterating them does."""
        return b"".join([piece async for piece in self.pieces])


class ArrivingAnswer:
    """A raw call's answer while its pieces come in. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        # Without a limit of its own: the link bounds the answer, and a slow client must not hold up the model.
        self._arrived: asyncio.Queue[Outcome] = asyncio.Queue()
        self._nbytes = 0
        self._hold: Hold | None = None

    def deliver(self, piece: Outcome) -> None:
        """Take the next piece, or the error that ends the answer."""
        if isinstance(piece, Piece):
            try:
                if self._hold is not None:
                    self._hold.hold(len(piece.data))
                self._nbytes += len(piece.data)
            except TrivetError as error:
                piece = error
        self._arrived.put_nowait(piece)

    def _count(self, hold: Hold) -> None:
        hold.hold(self._nbytes)
        self._hold = hold

    def _passed_on(self, piece: Piece) -> None:
        self._nbytes -= len(piece.data)
        if self._hold is not None:
            self._hold.give_back(len(piece.data))

    async def _next(self) -> Piece:
        piece = await self._arrived.get()
        if isinstance(piece, TrivetError):
            raise piece
        assert isinstance(piece, Piece)
        return piece

    async def begun(self, *, leave: Callable[[], None]) -> RawAnswer:
        """Wait for the first piece.

        Args:
            leave: called when no more of the answer is needed.

        Raises:
            TrivetError: there is none.
        """
        try:
            first = await self._next()
        except BaseException:
            leave()
            raise

        def left() -> None:
            # The request ends, and its count with it.
            self._hold = None
            leave()

        return RawAnswer(
            status=first.status,
            content_type=first.content_type,
            headers=first.headers,
            nbytes=len(first.data) if first.last else None,
            pieces=self._pieces(first),
            leave=left,
            count=self._count,
        )

    async def _pieces(self, piece: Piece) -> AsyncIterator[bytes]:
        while True:
            if piece.data:
                yield piece.data
            self._passed_on(piece)
            if piece.last:
                return
            piece = await self._next()
