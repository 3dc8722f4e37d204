"""The SDK's requests as operations, shared by the sync and async clients. `uploads` and `waits` have more."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from trivet.errors import Internal, Invalid, NotFound, Unavailable
from trivet.sdk.calls import Call, Operation, Pause, Reply, checked, document
from trivet.sdk.frames import names_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "ask",
    "at",
    "call",
    "find",
    "find_version",
    "infer_url",
    "logs",
    "schema_text",
    "single_input",
]


def at(kind: str, name: Any, *more: str) -> str:
    """A resource's path: `at("pipelines", "fraud", "url")` is `/v1/pipelines/fraud/url`.

    Raises:
        Invalid: the name is not valid.
    """
    if not isinstance(name, str) or name in {"", ".", ".."}:
        raise Invalid(f"{name!r} is not a name", fix="a name has lower-case letters, digits and dashes")
    return "/".join(("/v1", kind, quote(name, safe=""), *more))


def call(method: str, path: str, **fields: Any) -> Operation[Any]:
    """One request, and the JSON of its reply. A GET is repeated once after a lost connection."""
    request = Call(method=method, path=path, **fields)
    try:
        reply: Reply = yield request
    except Unavailable:
        if method != "GET":
            raise
        reply = yield request
    return document(reply)


def find(kind: str, name: str, *more: str, workspace: str) -> Operation[dict[str, Any]]:
    """A resource of a workspace by its name.

    Raises:
        NotFound: it does not exist; the text is the reference's.
    """
    try:
        found: dict[str, Any] = yield from call("GET", at(kind, name, *more), query={"workspace": workspace})
    except NotFound as error:
        before = "" if kind == "pipelines" else "Error: "
        raise NotFound(f"{before}{error.what.rstrip('.')}.", fix=error.fix, reason=error.reason) from None
    return found


def find_version(name: str, version: str | None, *, workspace: str) -> Operation[dict[str, Any]]:
    """A model's newest version, or the one with a UUID.

    Raises:
        NotFound: the model or the version does not exist.
    """
    found = (yield from find("models", name, "versions", workspace=workspace))["versions"]
    for each in found:
        if version in (None, each["uuid"]):
            return dict(each)
    raise NotFound(
        f"Error: A model with the version {version} not found in this workspace.",
        fix=f"versions of {name} are {', '.join(each['uuid'] for each in found)}",
    )


def schema_text(schema: "pa.Schema | str | None", *, path: str = "schema") -> str | None:
    """A schema as text.

    Args:
        schema: pyarrow's, or the short text.
        path: the argument's name, for the message.

    Raises:
        Invalid: it is neither.
    """
    if schema is None or isinstance(schema, str):
        return schema
    import pyarrow as pa

    if isinstance(schema, pa.Schema):
        return base64.b64encode(schema.serialize().to_pybytes()).decode()
    raise Invalid(
        f"{repr(schema)[:80]} is not a schema",
        why=f"it is a {type(schema).__name__}",
        fix="give a pyarrow Schema, as in pa.schema([pa.field('x', pa.float32())]), or a text, as in "
        "'x: float32[2]; label: string'",
        path=path,
    )


def infer_url(name: str, *, workspace: str) -> Operation[dict[str, Any]]:
    """A pipeline's URL for predictions."""
    found: dict[str, Any] = yield from call("GET", at("pipelines", name, "url"), query={"workspace": workspace})
    return found


def single_input(url: str) -> Operation[str | None]:
    """The name of a pipeline's only input; None if it has several.

    Args:
        url: its URL for predictions.
    """
    found = yield from call("GET", f"{url}/openapi.json")
    [path] = found["paths"].values()
    kinds = path["post"]["requestBody"]["content"]
    names: list[str] = next(
        list(kind["schema"]["items"]["properties"]) for name, kind in kinds.items() if "json" in name
    )
    return names[0] if len(names) == 1 else None


def ask(request: Call, *, retries: int = 0) -> Operation[Any]:
    """Send rows; retry while the pipeline is unavailable."""
    for attempt in range(retries + 1):
        try:
            return checked((yield request))
        except Unavailable:
            if attempt == retries:
                raise
            yield Pause(seconds=min(0.1 * 2**attempt, 2.0))
    raise AssertionError


def logs(
    name: str,
    *,
    workspace: str,
    limit: int,
    start: datetime | None,
    end: datetime | None,
    dataset: Sequence[str] | str | None,
    exclude: Sequence[str] | str | None,
    reverses_rows: bool = False,
    cursor: str | None = None,
) -> "Operation[tuple[pa.Table, str, str | None]]":
    """A page of the log: its rows, why it ends, and the next page's cursor. A limit of 0 returns only the columns."""
    if (start is None) != (end is None):
        raise Invalid("start_datetime and end_datetime are required together", fix="give both, or neither")
    query = {
        "workspace": workspace,
        "limit": limit or 1,
        "start": None if start is None else _zoned(start),
        "end": None if end is None else _zoned(end),
        "reverse_rows": "true" if reverses_rows else None,
        "cursor": cursor,
        "dataset[]": names_of(dataset) or None,
        "dataset.exclude[]": names_of(exclude) or None,
    }
    request = Call(
        method="GET",
        path=at("pipelines", name, "logs"),
        query=query,
        headers={"Accept": "application/vnd.apache.arrow.stream"},
        timeout_s=60.0,
    )
    reply = checked((yield request))
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(pa.py_buffer(reply.content)).read_all()
    except pa.ArrowException as error:
        raise Internal("the platform's answer is not an Arrow stream", why=str(error)) from error
    if limit == 0:
        return table.slice(0, 0), "All", cursor
    return table, reply.headers.get("x-iteration-status", "All"), reply.headers.get("x-iteration-cursor")


def _zoned(moment: datetime) -> str:
    """A time without a zone is in this machine's zone."""
    return (moment if moment.tzinfo else moment.astimezone()).isoformat()
