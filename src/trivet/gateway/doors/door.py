"""What a wire protocol over HTTP has to say: where it is, how a request is read, how an answer and an error are written."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from trivet.errors import TrivetError
from trivet.gateway.live_pipeline import Exchange, LivePipeline, RawReader
from trivet.gateway.pipelines import Place
from trivet.gateway.rowwise import RowwiseExchange

__all__ = ["Door", "Find", "HttpExchange", "OpenExchange", "Page", "PageMaker", "Source"]


class Page(NamedTuple):
    """An answer that is there as a whole."""

    status: int
    content: bytes
    content_type: bytes


class HttpExchange(Exchange[bytes, Any, bytes | memoryview], Protocol):
    """How one request's body is read and its answer is written."""

    @property
    def content_type(self) -> bytes:
        """Of the answer."""


PageMaker: TypeAlias = Callable[[], Awaitable[Page]]

OpenExchange: TypeAlias = Callable[
    [str, bytes, Mapping[bytes, bytes]],
    HttpExchange | RowwiseExchange[bytes, bytes | memoryview] | RawReader[bytes],
]
"""What a request asks for with its path, its query and its headers by lower-case name: rows, rows whose errors are their own, or
a raw call whose answer the model writes. An error for what is not supported."""

Find: TypeAlias = Callable[[str], LivePipeline | None]
"""What answers at a path; an error where a pipeline is there that cannot."""

Source: TypeAlias = Literal["engine", "platform"]
"""Who says an error: a pipeline, or the platform before the request has reached one."""


class Door(Protocol):
    """One wire protocol. Its class takes the pipelines and the name of this process: see `open_doors`."""

    def addresses(self) -> Mapping[str, Place | TrivetError]:
        """Each path that takes predictions, with the place that answers there, or why it is not clear which one does.

        Asked again whenever the places change. The paths of two doors must differ.
        """

    def exchanges(self, pipeline: LivePipeline) -> OpenExchange:
        """What reads and writes the requests of one pipeline."""

    def page(self, path: str, find: Find) -> PageMaker | None:
        """What answers a GET at a path that depends on pipelines; None where there is no such page.

        Raises:
            TrivetError: the pipeline that the page is about cannot answer.
        """

    def unknown(self, path: str, *, pages: Sequence[str]) -> TrivetError | None:
        """Why there is no address and no page at a path; None for a path that is not this protocol's.

        Args:
            path: what was requested.
            pages: what can be read besides.
        """

    def error(self, error: TrivetError, *, status: int, request_id: str, source: Source) -> Page:
        """An error in this protocol's form."""
