"""A page of a log as an answer: an Arrow stream or file, or records."""

from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
from fastapi.responses import Response

from trivet.control.use_cases.logs import records_of

if TYPE_CHECKING:
    from trivet.inference_log import LogPage

__all__ = ["log_answer"]

ARROW_STREAM = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"
RECORDS = "application/json; format=pandas-records"


def log_answer(page: "LogPage", accept: str, *, usual: str = ARROW_STREAM) -> Response:
    """A page in the requested format.

    Args:
        page: the rows; why they end and where the next page begins go into headers.
        accept: the request's header.
        usual: media type if `accept` names none of the three.
    """
    headers: dict[str, str] = {"x-iteration-status": page.status}
    if page.cursor is not None:
        headers["x-iteration-cursor"] = page.cursor
    media = next(
        (media for media in (ARROW_STREAM, ARROW_FILE) if media in accept), RECORDS if "json" in accept else usual
    )
    if media == RECORDS:
        content = orjson.dumps(records_of(page.table), default=str)
        return Response(content, media_type=media, headers=headers)
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_file if media == ARROW_FILE else pa.ipc.new_stream)(sink, page.table.schema) as writer:
        writer.write_table(page.table)
    return Response(sink.getvalue().to_pybytes(), media_type=media, headers=headers)
