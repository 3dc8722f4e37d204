"""`trivet infer`."""

import codecs
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from trivet.cli.output import in_json, show
from trivet.cli.platform_client import MOST_S, HomeOption, PipelineArgument, UrlOption, WorkspaceOption, connect
from trivet.errors import Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["infer", "plain_rows"]

MESSAGE = "error.message"
RECORDS = 'give a list of records: [{"field": value, …}, …]'


class OnError(StrEnum):
    """What becomes of rows that fail."""

    RAISE = "raise"
    NULL = "null"
    SPLIT = "split"


def infer(
    name: PipelineArgument,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Rows: a .json file (a list of records), an .arrow file, or - for stdin."),
    ],
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset", "-d", help="Parts (time, in, out, anomaly, metadata) or columns.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write the answer here: .json or .arrow, or - for stdout.", show_default=False
        ),
    ] = None,
    on_error: Annotated[
        OnError,
        typer.Option(
            "--on-error",
            help="Rows that fail: raise an error for all, or null: they have null and an error in the answer; "
            "or split: the answer is {answers, failed}.",
        ),
    ] = OnError.RAISE,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=MOST_S, metavar="SECONDS", help="Seconds to wait at most.")
    ] = 60.0,
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
) -> None:
    """Send rows to a deployed pipeline.

    Examples:

      trivet infer ccfraud rows.json

      trivet infer ccfraud rows.arrow --dataset out --out answers.arrow

      trivet infer ccfraud rows.json --on-error null

      echo '[{"tensor": [1.0, 2.0]}]' | trivet infer ccfraud -
    """
    if out is not None and str(out) != "-" and out.suffix not in (".json", ".arrow"):
        raise typer.BadParameter(f"{out} ends in neither .json nor .arrow", param_hint="--out")
    splits = on_error is OnError.SPLIT
    if splits and out is not None and out.suffix == ".arrow":
        raise typer.BadParameter("with --on-error split the answer is JSON: it has two lists", param_hint="--out")
    from trivet.sdk.frames import is_table

    rows = _rows(file)
    with connect(url, home, workspace) as client:
        answer = client.get_pipeline(name).infer(rows, timeout=timeout, dataset=dataset, on_error=on_error.value)
    failed = _failed(answer, on_error)
    if failed:
        show(f"{failed} failed; error.message says why.", to_stderr=True)
    if splits:
        both = (plain_rows(each) if is_table(each) else each for each in answer)
        answer = dict(zip(("answers", "failed"), both, strict=True))
    elif is_table(answer) and (out is None or out.suffix != ".arrow"):
        answer = plain_rows(answer)
    if out is None or str(out) == "-":
        show(in_json(answer))
        return
    try:
        if out.suffix == ".arrow":
            import pyarrow as pa

            table = answer if isinstance(answer, pa.Table) else pa.Table.from_pylist(answer)
            with pa.OSFile(str(out), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
        else:
            out.write_text(in_json(answer) + "\n")
    except OSError as error:
        raise Unavailable(
            f"failed to write the answer to {out}", why=error.strerror or str(error), fix="name a writable file"
        ) from error


def _failed(answer: Any, on_error: OnError) -> str:
    """How many rows failed, as `1 of 3 rows`; empty if none did."""
    if on_error is OnError.RAISE:
        return ""
    if on_error is OnError.SPLIT:
        good, bad = answer
        failed, rows = len(bad), len(good) + len(bad)
    else:
        column = [row[MESSAGE] for row in answer] if isinstance(answer, list) else answer[MESSAGE].to_pylist()
        failed, rows = sum(message is not None for message in column), len(column)
    return f"{failed} of {rows} rows" if failed else ""


def _rows(file: Path) -> Any:
    """The rows of a file or of standard input.

    Raises:
        NotFound: the file does not exist.
        Invalid: it does not hold rows.
    """
    source = "standard input" if str(file) == "-" else str(file)
    if file.is_dir():
        raise Invalid(f"{source} is a folder", fix="name a file of rows: .json or .arrow")
    if file.suffix == ".arrow":
        from trivet.sdk.frames import load_rows

        return load_rows(file)
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        rows = orjson.loads(content.removeprefix(codecs.BOM_UTF8))
    except FileNotFoundError:
        raise NotFound(f"file not found: {source}", fix="check the path") from None
    except OSError as error:
        raise Invalid(f"{source} cannot be read", why=error.strerror, fix="see to its rights") from error
    except ValueError as error:
        raise Invalid(f"{source} holds no rows", why=f"it is not JSON: {error}", fix=RECORDS) from error
    if not isinstance(rows, list | dict) or rows == {}:
        raise Invalid(f"{source} holds no rows", why="it is not a list of records", fix=RECORDS)
    return rows


def plain_rows(table: "pa.Table") -> list[dict[str, Any]]:
    """Rows as records, times as milliseconds."""
    import pyarrow as pa

    from trivet.domain.short_floats import with_short_floats

    if "time" in table.column_names:
        table = table.set_column(table.column_names.index("time"), "time", table["time"].cast(pa.int64()))
    records: list[dict[str, Any]] = with_short_floats(table).to_pylist()
    return records
