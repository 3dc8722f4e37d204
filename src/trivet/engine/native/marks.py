"""Marks each native call in memory that survives the process, so that a model that ends or blocks the process is known."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.engine.native.views import Session

__all__ = ["CallMarks"]


class CallMarks:
    """The slots for calls. Create it in the event loop's thread.

    Args:
        slots: the first one is the event loop's, the last one that of all calls for which no other is free.
    """

    def __init__(self, slots: "memoryview[int]") -> None:
        self.slots = slots
        self.loop_thread = get_ident()
        # Each operation on a list is atomic: threads take and return slots without a lock.
        self._free = list(range(1, len(slots) - 1))

    @contextmanager
    def marked(self, model: int) -> Iterator[None]:
        """Mark a block that runs a model's code in a thread, such as its loading."""
        try:
            slot = self._free.pop()
        except IndexError:
            slot = len(self.slots) - 1
        self.slots[slot] = model
        try:
            yield
        finally:
            self.slots[slot] = 0
            if slot < len(self.slots) - 1:
                self._free.append(slot)

    def session(self, session: Session, model: int) -> Session:
        """A session whose calls are marked.

        Args:
            session: answers.
            model: the number of its version; not 0.
        """
        return _Marked(session, self, model)


class _Marked:
    def __init__(self, session: Session, marks: CallMarks, model: int) -> None:
        self._session = session
        self._run = session.run
        self._marks = marks
        self._slots = marks.slots
        self._loop_thread = marks.loop_thread
        self._model = model

    @property
    def input_schema(self) -> pa.Schema:
        return self._session.input_schema

    @property
    def output_schema(self) -> pa.Schema:
        return self._session.output_schema

    @property
    def canned(self) -> Batch:
        return self._session.canned

    @property
    def joins(self) -> bool:
        return self._session.joins

    @property
    def rectangular(self) -> bool:
        return self._session.rectangular

    def run(self, batch: Batch, run_options: Any = None) -> Batch:
        """See `Session.run`."""
        slots = self._slots
        if get_ident() == self._loop_thread:
            # Small models answer in microseconds here: the mark is two writes to memory.
            slots[0] = self._model
            try:
                return self._run(batch, run_options)
            finally:
                slots[0] = 0
        with self._marks.marked(self._model):
            return self._run(batch, run_options)
