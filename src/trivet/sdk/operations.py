"""What the SDK does, as operations: every request, wait and message is decided here, for sync and async alike."""

import asyncio
import base64
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from trivet.domain.package import Framework
from trivet.domain.version import Acceleration, Architecture
from trivet.errors import (
    Conflict,
    DeadlineExceeded,
    Internal,
    Invalid,
    ModelUploadError,
    NotFound,
    TrivetError,
    Unavailable,
)
from trivet.sdk.calls import Call, Operation, Pause, Reply, checked, document
from trivet.sdk.config import LOG
from trivet.sdk.frames import names_of

__all__ = [
    "ModelUploadError",
    "at",
    "call",
    "deploy",
    "find",
    "find_version",
    "logs",
    "undeploy",
    "upload",
    "wait_for_deployment",
    "wait_until_loaded",
]

FIRST_PAUSE_S = 0.02
MOST_PAUSE_S = 0.5
POLL_S = 10.0
UPLOAD_S = 3600.0
Say = Callable[[str], None]


def at(kind: str, name: Any, *more: str) -> str:
    """The path of a thing, whatever its name: `at("pipelines", "fraud", "url")` is `/v1/pipelines/fraud/url`.

    Raises:
        Invalid: it is nothing that could name one.
    """
    if not isinstance(name, str) or name in {"", ".", ".."}:
        raise Invalid(f"{name!r} is no name", fix="a name has lower-case letters, digits and dashes")
    return "/".join(("/v1", kind, quote(name, safe=""), *more))


def call(method: str, path: str, **said: Any) -> Operation[Any]:
    """One request, and the JSON that comes back. Where nothing but a question is lost with a connection, it is asked again."""
    request = Call(method=method, path=path, **said)
    try:
        reply: Reply = yield request
    except Unavailable:
        if method != "GET":
            raise
        reply = yield request
    return document(reply)


def find(kind: str, name: str, *more: str, workspace: str) -> Operation[dict[str, Any]]:
    """A thing of a workspace by its name.

    Raises:
        NotFound: there is none, in the reference's words.
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
        NotFound: there is no model of that name, or no such version of it.
    """
    found = (yield from find("models", name, "versions", workspace=workspace))["versions"]
    for each in found:
        if version in (None, each["uuid"]):
            return dict(each)
    raise NotFound(
        f"Error: A model with the version {version} not found in this workspace.",
        fix=f"versions of {name} are {', '.join(each['uuid'] for each in found)}",
    )


def schema_text(schema: pa.Schema | str | None, *, path: str = "schema") -> str | None:
    """A schema as it travels.

    Args:
        schema: pyarrow's, or the short text.
        path: which one it is, for the message.

    Raises:
        Invalid: it is neither.
    """
    if isinstance(schema, pa.Schema):
        return base64.b64encode(schema.serialize().to_pybytes()).decode()
    if schema is None or isinstance(schema, str):
        return schema
    raise Invalid(
        f"{repr(schema)[:80]} is no schema",
        why=f"it is a {type(schema).__name__}",
        fix="give a pyarrow Schema, as in pa.schema([pa.field('x', pa.float32())]), or a text, as in "
        "'x: float32[2]; label: string'",
        path=path,
    )


def say_nothing(_text: str) -> None:
    """Nobody is told."""


def say_on_stdout(text: str) -> None:
    """To whoever runs the script or the notebook; as it comes, without an end of line of its own."""
    sys.stdout.write(text)
    sys.stdout.flush()


def announcement(
    name: str,
    framework: Framework | str,
    *,
    workspace: str,
    input_schema: pa.Schema | str | None,
    output_schema: pa.Schema | str | None,
    arch: Architecture | str,
    accel: Acceleration | str,
    python: str | None,
) -> dict[str, Any]:
    """What is said of a file before its bytes are sent.

    Raises:
        Invalid: a schema is none.
    """
    return {
        "name": name,
        "framework": str(getattr(framework, "value", framework)),
        "workspace": workspace,
        "input_schema": schema_text(input_schema, path="input_schema"),
        "output_schema": schema_text(output_schema, path="output_schema"),
        "arch": str(getattr(arch, "value", arch)),
        "accel": str(getattr(accel, "value", accel)),
        "python": python,
    }


def upload(
    *,
    file: Path,
    file_name: str,
    said: Mapping[str, Any],
    progress: Callable[[int, int], None] | None,
    timeout_s: float = UPLOAD_S,
) -> Operation[dict[str, Any]]:
    """Announce a file, then send it.

    Raises:
        ModelUploadError: it was refused.
    """
    body = {name: value for name, value in said.items() if value is not None}
    try:
        announced = yield from call(
            "POST", "/v1/uploads", body={**body, "file_name": file_name, "size": file.stat().st_size}
        )
        version = yield from _send(announced, file=file, progress=progress, timeout_s=timeout_s)
    except TrivetError as error:
        if error.kind is not Invalid.kind or error.reason == "unauthorized":
            raise
        raise ModelUploadError(
            f"Model failed to upload: [400] Bad request: {error.what.rstrip('.')}.",
            fix="; ".join(part for part in (error.why, error.fix) if part) or None,
            path=error.path,
            reason=error.reason,
        ) from error
    return version


def _send(
    announced: Mapping[str, Any], *, file: Path, progress: Callable[[int, int], None] | None, timeout_s: float
) -> Operation[dict[str, Any]]:
    """The bytes of a file that was announced. Where only the answer was lost, the version is looked up."""
    try:
        reply: Reply = yield Call(
            method="PUT", path=announced["url"], file=file, progress=progress, timeout_s=timeout_s
        )
    except Unavailable as broken:
        try:
            version: dict[str, Any] = yield from call("GET", at("versions", announced["uuid"]))
        except NotFound:
            raise Unavailable(broken.what, why=broken.why, fix="upload it again: nothing of it was kept") from None
        except Unavailable:
            raise broken from None
        return version
    version = document(reply)
    return version


def wait_until_loaded(known: Mapping[str, Any], *, timeout_s: float, say: Say) -> Operation[dict[str, Any]]:
    """Wait until a version's loading has ended, well or not, and say how far it is.

    Args:
        known: the version as it was seen last; where its bytes have just come, that is before anything was done.
        timeout_s: how long to wait at most.
        say: told each status.

    Raises:
        DeadlineExceeded: it takes longer.
    """
    say(f"Waiting for model loading - this will take up to {timeout_s / 60:g}min.\n")
    seen, named = "", "it"

    def look(version: dict[str, Any]) -> bool:
        nonlocal seen, named
        if name := version.get("name"):
            named = f"it: see get_model({name!r}).status(), or `trivet models {name}`"
        status = version["status"]
        if status != seen:
            _say_change(seen, status, version, say)
            seen = status
        return seen in ("ready", "error")

    with _told_apart(lambda: f"loading {named}", say=say):
        if look(dict(known)):
            return dict(known)
        version = yield from _poll(at("versions", known["uuid"]), {}, look, timeout_s=timeout_s, say=say)
    if version is None:
        say("\n")
        raise DeadlineExceeded(
            f"the model was not loaded within {timeout_s:g} s",
            why=f"its status is {seen}" if seen else None,
            fix="it goes on: look at model.status() later, or upload with a longer timeout",
        )
    return version


@contextmanager
def _told_apart(doing: Callable[[], str], *, say: Say) -> Iterator[None]:
    """Whoever stops waiting is told that the platform does not stop, on a line of its own."""
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError):
        say(f"\nStopped waiting. The platform goes on {doing()}.\n")
        raise


def _poll(
    path: str, query: Mapping[str, Any], look: Callable[[dict[str, Any]], bool], *, timeout_s: float, say: Say
) -> Operation[dict[str, Any] | None]:
    """Ask until `look` is content, with a dot for each second. A platform that does not answer for a while is asked again.

    Returns:
        What it was content with; None once `timeout_s` seconds have gone by.

    Raises:
        Unavailable: the platform did not answer for the whole time.
    """
    started = (yield Pause(seconds=0)).at
    now, pause_s, dots, lost = started, FIRST_PAUSE_S, 0, None
    while True:
        left_s = max(started + timeout_s - now, 1.0)
        try:
            found: dict[str, Any] = yield from call("GET", path, query=query, timeout_s=min(left_s, POLL_S))
            lost = None
            if look(found):
                return found
        except (Unavailable, DeadlineExceeded) as error:
            lost = error
        now = (yield Pause(seconds=pause_s)).at
        pause_s = min(pause_s * 1.5, MOST_PAUSE_S)
        if int(now - started) > dots:
            dots = int(now - started)
            say(".")
        if now - started > timeout_s:
            if lost is not None:
                raise lost
            return None


def _say_change(before: str, status: str, version: Mapping[str, Any], say: Say) -> None:
    if before.startswith("attempting_load"):
        moved_on = before.endswith("native") and status.endswith("container")
        say("successful\n" if status == "ready" else "incompatible\n\n" if moved_on else "\n")
    elif before:
        say("\n")
    if status.startswith("pending_load"):
        say(f"Model is pending loading to a {status.removeprefix('pending_load_')} runtime.")
    elif status.startswith("attempting_load"):
        say(f"Model is attempting loading to a {status.removeprefix('attempting_load_')} runtime.")
    elif status == "ready":
        say("\nReady\n")
    else:
        summary = version.get("error_summary") or "unknown"
        fault = version.get("fault") or {}
        # The first two lines are the reference's.
        sys.stderr.write(
            f"ERROR! There was an error during model conversion: Model failed to convert: {summary}\n"
            "You can use model.get_upload_logs() to get more details.\n"
            + "".join(
                f"  {word:3} {fault[name]}\n" for word, name in (("at", "path"), ("fix", "fix")) if fault.get(name)
            )
        )


def deploy(
    name: str,
    *,
    workspace: str,
    steps: Sequence[Mapping[str, Any]] | None,
    version: str | None,
    config: Mapping[str, Any] | None,
) -> Operation[dict[str, Any]]:
    """Want a pipeline running."""
    document_ = dict(config or {})
    body: dict[str, Any] = {"log_inferences": bool(document_.pop(LOG, True)), "config": document_}
    if version is not None:
        body["version"] = version
    else:
        body["steps"] = list(steps or ())
    result: dict[str, Any] = yield from call(
        "POST", at("pipelines", name, "deploy"), query={"workspace": workspace}, body=body
    )
    return result


def undeploy(name: str, *, workspace: str, timeout_s: float, say: Say) -> Operation[None]:
    """Want a pipeline stopped, and wait until it is."""
    answer = yield from call("POST", at("pipelines", name, "undeploy"), query={"workspace": workspace})
    generation = answer["deployment"]["generation"]
    say(f"Waiting for undeployment - this will take up to {timeout_s:g}s ")

    def is_stopped(deployment: Mapping[str, Any]) -> bool:
        # If somebody deployed it anew meanwhile, what was to be stopped is gone all the same.
        status = deployment["status"]
        is_gone = status["generation"] >= generation and status["state"] == "Stopped"
        return bool(is_gone or deployment["generation"] > generation)

    yield from _settle(name, is_stopped, doing="stopping it", workspace=workspace, timeout_s=timeout_s, say=say)
    say(" ok\n")


def wait_for_deployment(
    name: str, *, workspace: str, generation: int, timeout_s: float, say: Say
) -> Operation[dict[str, Any]]:
    """Wait until what was asked for runs.

    Raises:
        Conflict: it cannot run, and what ran before goes on; or somebody wants it stopped.
        DeadlineExceeded: it takes longer.
    """
    say(f"Waiting for deployment - this will take up to {timeout_s:g}s ")

    def is_settled(deployment: Mapping[str, Any]) -> bool:
        # If somebody deployed anew meanwhile, that is what will run.
        wanted = max(generation, deployment["generation"])
        status = deployment["status"]
        has_ended = status["generation"] >= wanted and status["state"] in ("Running", "Error")
        return bool(has_ended or deployment["wanted"] == "stopped")

    deployment = yield from _settle(
        name, is_settled, doing="starting it", workspace=workspace, timeout_s=timeout_s, say=say
    )
    status = deployment["status"]
    if deployment["wanted"] == "stopped":
        say(" stopped\n")
        raise Conflict(
            f"pipeline {name!r} was undeployed while it was waited for", fix="deploy it again", reason="undeployed"
        )
    if status["state"] == "Error":
        say(" error\n")
        raise deployment_error(name, deployment)
    say(" ok\n")
    return deployment


def deployment_error(name: str, deployment: Mapping[str, Any]) -> TrivetError:
    """Why a deployment does not run."""
    fault = deployment["status"].get("fault") or {}
    kept = " What served before goes on untouched." if deployment["status"].get("serving") else ""
    return Conflict(
        f"pipeline {name!r} could not be deployed: {fault.get('what', 'unknown')}",
        why=fault.get("why"),
        fix=f"{fault.get('fix') or 'mend the model, and deploy again'}.{kept}".replace("..", "."),
        path=fault.get("path"),
        reason="deployment_failed",
    )


def _settle(
    name: str,
    is_settled: Callable[[Mapping[str, Any]], bool],
    *,
    doing: str,
    workspace: str,
    timeout_s: float,
    say: Say,
) -> Operation[dict[str, Any]]:
    seen: dict[str, Any] = {}

    def look(answer: dict[str, Any]) -> bool:
        nonlocal seen
        if answer["deployment"] is None:
            raise NotFound(f"Pipeline {name} is not deployed", fix="deploy it first")
        seen = answer["deployment"]
        return is_settled(seen)

    path = at("pipelines", name, "deployment")
    with _told_apart(lambda: f"{doing}: see get_pipeline({name!r}).status(), or `trivet status {name}`", say=say):
        answer = yield from _poll(path, {"workspace": workspace}, look, timeout_s=timeout_s, say=say)
    if answer is None:
        say("\n")
        status = seen["status"]
        raise DeadlineExceeded(
            f"pipeline {name!r} is not there after {timeout_s:g} s",
            why=(status.get("fault") or {}).get("what") or f"its status is {status['state']}",
            fix="it goes on: look at pipeline.status(), or wait longer with timeout=",
        )
    return seen


def infer_url(name: str, *, workspace: str) -> Operation[dict[str, Any]]:
    """Where a pipeline answers."""
    found: dict[str, Any] = yield from call("GET", at("pipelines", name, "url"), query={"workspace": workspace})
    return found


def ask(request: Call, *, retries: int = 0) -> Operation[Any]:
    """Send rows; again, where nothing could answer at the moment."""
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
    cursor: str | None = None,
) -> Operation[tuple[pa.Table, str, str | None]]:
    """A page of the log: its rows, why it ends, and where the next one begins. A limit of 0 gives the columns alone."""
    if (start is None) != (end is None):
        raise Invalid("start_datetime and end_datetime belong together", fix="give both, or neither")
    query = {
        "workspace": workspace,
        "limit": limit or 1,
        "start": None if start is None else _zoned(start),
        "end": None if end is None else _zoned(end),
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
    try:
        table = pa.ipc.open_stream(pa.py_buffer(reply.content)).read_all()
    except pa.ArrowException as error:
        raise Internal("the platform answered with something else than an Arrow stream", why=str(error)) from error
    if limit == 0:
        return table.slice(0, 0), "All", cursor
    return table, reply.headers.get("x-iteration-status", "All"), reply.headers.get("x-iteration-cursor")


def _zoned(moment: datetime) -> str:
    """A moment without a zone is meant in this machine's."""
    return (moment if moment.tzinfo else moment.astimezone()).isoformat()
