"""The smallest wire protocol whose models read requests themselves. One file, and one row in a table."""

from collections.abc import Mapping, Sequence
from typing import Final

from trivet.engine.calls import Raw
from trivet.errors import NotFound, TrivetError
from trivet.gateway.allowance import Allowance
from trivet.gateway.doors.door import Find, OpenExchange, Page, PageMaker, Source
from trivet.gateway.formats.inflation import inflate
from trivet.gateway.live_pipeline import LivePipeline, RawReader
from trivet.gateway.pipelines import Pipelines, Place

__all__ = ["RawDoor"]

TEXT: Final = b"text/plain; charset=utf-8"
PASSED_ON: Final = (b"accept", b"x-colour")


class RawDoor:
    """See `Door`."""

    def __init__(self, pipelines: Pipelines, *, partition: str) -> None:
        self._pipelines = pipelines

    def addresses(self) -> Mapping[str, Place | TrivetError]:
        return {f"/raw/{place.name}": place for place in self._pipelines.places}

    def exchanges(self, pipeline: LivePipeline) -> OpenExchange:
        return self._reader

    def _reader(self, _path: str, query: bytes, headers: Mapping[bytes, bytes]) -> RawReader[bytes]:
        encoding = headers.get(b"content-encoding", b"")

        def read(body: bytes, allowance: Allowance) -> Raw:
            return Raw(
                content_type=headers.get(b"content-type", b"").decode("latin-1"),
                path=f"?{query.decode()}" if query else "",
                headers=tuple(
                    (name.decode(), headers[name].decode("latin-1")) for name in PASSED_ON if name in headers
                ),
                body=inflate(body, encoding, allowance),
            )

        return RawReader(read, in_thread=bool(encoding))

    def page(self, path: str, find: Find) -> PageMaker | None:
        return None

    def unknown(self, path: str, *, pages: Sequence[str]) -> TrivetError | None:
        return NotFound(f"{path} is not an address") if path.startswith("/raw/") else None

    def error(self, error: TrivetError, *, status: int, request_id: str, source: Source) -> Page:
        return Page(status, f"{error.reason}: {error.message}".encode(), TEXT)
