"""What becomes of rows that fail: `on_error` of `infer`."""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from trivet.errors import Invalid
from trivet.sdk import answers, frames
from trivet.sdk.calls import Reply

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OnError", "checked_on_error", "split_answer"]

OnError: TypeAlias = Literal["raise", "null", "split"]

MESSAGE = "error.message"
# What is null in a row that failed.
RESULTS = ("out", "anomaly", "metadata")


def checked_on_error(on_error: str) -> OnError:
    """The argument `on_error`.

    Raises:
        Invalid: it is not one of them.
    """
    for each in get_args(OnError):
        if each == on_error:
            return each  # type: ignore[no-any-return]
    raise Invalid(
        f"on_error is {on_error!r}",
        fix="give 'raise', 'null' for nulls in rows that fail, or 'split' for the answers and the rows that failed",
        path="on_error",
    )


def split_answer(data: Any, reply: Reply, *, separator: str | None, is_sorted: bool) -> tuple[Any, Any]:
    """The answers, and the rows that failed with their errors, each in the form of what was sent.

    Args:
        data: the rows that were sent: a DataFrame, a Table or records.
        reply: the gateway's, to a request whose rows may fail one by one.
        separator: between a part and a column.
        is_sorted: see `answers.answer_of`.
    """
    if frames.is_table(data):
        import pyarrow.compute as pc

        table = answers.read_table(reply)
        failed = pc.is_valid(table[MESSAGE])
        tables = (_without(table.filter(pc.invert(failed)), "error"), _without(table.filter(failed), *RESULTS))
        good, bad = (answers.rename(answers.answered_table(each, is_sorted=is_sorted), separator) for each in tables)
        return good, bad
    records = answers.read_records(reply)
    names = list(dict.fromkeys(name for record in records for name in record))
    made = []
    for is_good, without in ((True, ("error",)), (False, RESULTS)):
        rows = [row for row, record in enumerate(records) if (record[MESSAGE] is None) is is_good]
        columns = [name for name in names if name.partition(".")[0] not in without]
        kept = [{name: records[row][name] for name in columns if name in records[row]} for row in rows]
        if frames.is_frame(data):
            index = data.index[rows]
            frame = answers.frame_of(kept, index, separator=separator, is_sorted=is_sorted, columns=columns)
            made.append(frame)
        else:
            made.append(kept)
    return made[0], made[1]


def _without(table: "pa.Table", *parts: str) -> "pa.Table":
    return table.select([name for name in table.column_names if name.partition(".")[0] not in parts])
