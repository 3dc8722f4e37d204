"""The engine's limits, all in one frozen value."""

from dataclasses import dataclass

__all__ = ["MOST_CALL_BYTES", "EngineLimits"]

MOST_CALL_BYTES = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineLimits:
    """How much may wait, how much is joined, how long an answer may take.

    Attributes:
        timeout_s: from the arrival of a request to its answer, waiting included.
        max_waiting: requests that may wait or run at once for one model; one more is refused at once.
        max_waiting_bytes: what those requests may hold together; a single larger request is taken alone.
        join_rows: waiting requests are joined into one call up to this many rows …
        join_bytes: … and up to this many bytes of columns. A single larger request goes alone.
        delay_s: how long a request waits for others to share its call, as long as that has fewer …
        delay_rows: … than so many rows.
        call_rows: rows that a call may have at all: a larger request is cut. None leaves it to the model.
        raw_body_bytes: the body of one raw request.
        raw_answer_bytes: the answer to one, all pieces together.
        native_call_bytes: what a call of a native session may take of memory, by the bounds of its graph; the answers to one
            request together have the same limit.
        inline_s: a native session that answers in less than this runs on the event loop, else in a thread.
    """

    timeout_s: float = 60.0
    max_waiting: int = 1024
    max_waiting_bytes: int = 2**30
    join_rows: int = 4096
    join_bytes: int = 16 * 2**20
    delay_s: float = 0.0
    delay_rows: int = 0
    call_rows: int | None = None
    raw_body_bytes: int = 256 * 2**20
    raw_answer_bytes: int = 256 * 2**20
    native_call_bytes: int = MOST_CALL_BYTES
    inline_s: float = 0.001
