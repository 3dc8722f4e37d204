"""Use case: reading a pipeline's inference log."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from trivet.control.context import Control
from trivet.control.use_cases.log_columns import log_columns
from trivet.domain.access import Action, Caller, check
from trivet.domain.short_floats import with_short_floats
from trivet.errors import Invalid

if TYPE_CHECKING:
    from trivet.inference_log import LogPage

__all__ = ["pipeline_logs", "read_time", "records_of"]


def pipeline_logs(
    control: Control,
    caller: Caller,
    *,
    workspace: str | int,
    name: str,
    limit: int,
    start: str | None,
    end: str | None,
    order: Literal["Asc", "Desc"] | None,
    reverses_rows: bool,
    cursor: str | None,
    dataset: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> "LogPage":
    """A page of a pipeline's inference log, up to the last answer. One without rows has the columns of the pipeline.

    Raises:
        NotFound: there is no such pipeline.
        Invalid: as `read_logs` says.
        Unavailable: the gateway did not write the newest rows in time.
    """
    check(caller, Action.READ_LOGS, workspace)
    # Not at the top: Parquet takes long to import, and few requests need it.
    from trivet.inference_log import LogPage, folder_of, read_logs, select

    catalog = control.catalog
    pipeline = catalog.pipelines.get(catalog.workspaces.get(workspace).id, name)
    deployment = catalog.deployments.of(pipeline.id)
    version = pipeline.versions[0] if deployment is None else catalog.pipelines.version(deployment.pipeline_version)

    def empty() -> LogPage:
        return LogPage(table=select(log_columns(control, version), dataset, exclude), status="All", cursor=None)

    if deployment is None:
        return empty()
    control.flush_logs()
    page = read_logs(
        folder_of(control.settings.home, workspace_id=pipeline.workspace_id, deployment_id=deployment.id),
        limit=limit,
        start=read_time(start, "start"),
        end=read_time(end, "end"),
        order=order,
        reverses_rows=reverses_rows,
        cursor=cursor,
        dataset=dataset,
        exclude=exclude,
    )
    return page if page.table.num_rows else empty()


def read_time(text: str | None, path: str) -> datetime | None:
    """A time in RFC 3339; one without a zone is UTC.

    Raises:
        Invalid: it is not a time.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(
            f"{text[:80]!r} is not a time", fix="write it as in 2026-01-31T12:00:00+00:00", path=path
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def records_of(table: pa.Table) -> list[dict[str, object]]:
    """Rows as nested records: `{"time": ms, "in": {…}, "out": {…}, …}`."""
    columns: dict[str, list[object]] = {}
    table = with_short_floats(table)
    for name in table.column_names:
        column = table[name]
        columns[name] = (column.cast(pa.int64()) if name == "time" else column).to_pylist()
    records: list[dict[str, object]] = []
    for index in range(table.num_rows):
        record: dict[str, object] = {}
        for name, values in columns.items():
            part, dot, field = name.partition(".")
            if dot:
                inner = record.setdefault(part, {})
                assert isinstance(inner, dict)
                inner[field] = values[index]
            else:
                record[part] = values[index]
        records.append(record)
    return records
