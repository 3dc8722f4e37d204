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


def log_answer(page: "LogPage", accept: str, *, usual: str = ARROW_STREAM, is_nested: bool = False) -> Response:
    """A page in the requested format.

    Args:
        page: the rows; why they end and where the next page begins go into headers.
        accept: the request's header.
        usual: media type if `accept` names none of the three.
        is_nested: whether the columns of a part are one struct in Arrow, as in the gateway's answers; records always are.
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
    table = _nested(page.table) if is_nested else page.table
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_file if media == ARROW_FILE else pa.ipc.new_stream)(sink, table.schema) as writer:
        writer.write_table(table)
    return Response(sink.getvalue().to_pybytes(), media_type=media, headers=headers)


def _nested(table: pa.Table) -> pa.Table:
    """The columns `in.x` and `in.y` as one column `in`, a struct of x and y."""
    table = table.combine_chunks()
    columns: dict[str, pa.Array] = {}
    parts: dict[str, dict[str, pa.Array]] = {}
    for name in table.column_names:
        part, dot, member = name.partition(".")
        # A table without rows has no chunk.
        column = pa.concat_arrays(table[name].chunks) if table[name].num_chunks else pa.array([], table[name].type)
        columns[part] = column
        if dot:
            parts.setdefault(part, {})[member] = column
    for part, members in parts.items():
        columns[part] = pa.StructArray.from_arrays(list(members.values()), names=list(members))
    return pa.table(columns)
