"""Many requests at once: their limit, their errors, and how the answers to single rows are joined."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from trivet.errors import Invalid, TrivetError
from trivet.sdk import answers
from trivet.sdk.frames import is_frame, is_table, pandas
from trivet.sdk.row_errors import OnError

__all__ = ["ask_all", "join_answers", "name_row"]

ONLY_ROW = "[0]"
PATH = "error.path"


async def ask_all(ask: Callable[[Any], Awaitable[Any]], parts: Sequence[Any], *, num_parallel: int) -> list[Any]:
    """The answer to each part, in their order.

    Raises:
        Exception: the first error; the other requests are cancelled.
    """
    gate = asyncio.Semaphore(num_parallel)

    async def one(part: Any) -> Any:
        async with gate:
            return await ask(part)

    try:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(one(part)) for part in parts]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [each.result() for each in asked]


def name_row(error: TrivetError, row: int) -> None:
    """Let the error of a request with one row name the row of the frame that it is from."""
    error.path = _path_of(error.path, row)


def join_answers(found: Sequence[Any], *, on_error: OnError) -> Any:
    """Join the answers to each row of a frame: to one frame, with `split` to a tuple of two.

    Raises:
        Invalid: there are no answers.
    """
    if not found:
        raise Invalid("there are no rows to send", fix="give at least one row")
    if on_error == "raise":
        return _stacked(found)
    if on_error == "null":
        return _stacked([_renamed(each, row) for row, each in enumerate(found)], is_mixed=True)
    good, bad = zip(*found, strict=True)
    bad = tuple(_renamed(each, row) for row, each in enumerate(bad))
    return _stacked(_with_rows(good)), _stacked(_with_rows(bad), is_mixed=True)


def _path_of(path: str | None, row: int) -> str | None:
    return f"[{row}]{path.removeprefix(ONLY_ROW)}" if path is not None and path.startswith(ONLY_ROW) else path


def _renamed(answer: Any, row: int) -> Any:
    """The answer to one row, whose error names the row of the frame."""
    if is_table(answer):
        import pyarrow as pa

        place = answer.column_names.index(PATH)
        paths = pa.array([_path_of(path, row) for path in answer[PATH].to_pylist()], answer.schema.field(place).type)
        return answer.set_column(place, answer.schema.field(place), paths)
    if PATH not in answer.columns:
        return answer
    paths = [_path_of(path, row) for path in answer[PATH].to_list()]
    if is_frame(answer):
        return answer.assign(**{PATH: paths})
    import polars as pl

    return answer.with_columns(pl.Series(PATH, paths, dtype=pl.String))


def _with_rows(parts: Sequence[Any]) -> Sequence[Any]:
    """Those that have rows, because a frame without rows has other types; one if none has."""
    return [part for part in parts if len(part)] or parts[:1]


def _stacked(parts: Sequence[Any], *, is_mixed: bool = False) -> Any:
    """The rows of all frames. In a mixed one, columns that are null in some rows have the types that `infer` gives them."""
    first = parts[0]
    if is_table(first):
        import pyarrow as pa

        # Whether a column may be null differs between answers.
        return pa.concat_tables(parts, promote_options="default")
    if not is_frame(first):
        import polars as pl

        return pl.concat(parts, how="vertical_relaxed")
    if not is_mixed:
        return pandas().concat(parts)
    objects = pandas().concat([part.astype(object) for part in parts])
    return answers.frame_of(objects.to_dict("records"), objects.index, separator=None, is_sorted=False)
