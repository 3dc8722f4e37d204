"""Waits for a version to load, and for pipelines to deploy and undeploy, with their progress texts."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from trivet.errors import Conflict, DeadlineExceeded, NotFound, TrivetError, Unavailable
from trivet.sdk.calls import Operation, Pause
from trivet.sdk.config import LOG
from trivet.sdk.operations import at, call
from trivet.sdk.progress import Say, one_line

__all__ = ["deploy", "deployment_error", "undeploy", "wait_for_deployment", "wait_until_loaded"]

FIRST_PAUSE_S = 0.02
MOST_PAUSE_S = 0.5
POLL_S = 10.0


def wait_until_loaded(known: Mapping[str, Any], *, timeout_s: float, say: Say) -> Operation[dict[str, Any]]:
    """Wait until a version is loaded or loading has failed, and print its progress.

    Args:
        known: the last known state of the version.
        timeout_s: how long to wait at most.
        say: receives each status.

    Raises:
        DeadlineExceeded: it takes longer than `timeout_s`.
    """
    say = one_line(say)
    say(f"Waiting for model loading - this will take up to {timeout_s / 60:.1f}min.\n")
    seen, named = "", "it"

    def look(version: dict[str, Any]) -> bool:
        nonlocal seen, named
        if name := version.get("name"):
            named = f"it: see get_model({name!r}).status(), or `trivet models {name}`"
        status = version["status"]
        if status != seen:
            _print_change(seen, status, version, say)
            seen = status
        return seen in ("ready", "error")

    with _end_line_on_interrupt(lambda: f"loading {named}", say=say):
        if look(dict(known)):
            return dict(known)
        version = yield from _poll(at("versions", known["uuid"]), {}, look, timeout_s=timeout_s, say=say)
    if version is None:
        say("\n")
        raise DeadlineExceeded(
            f"the model was not loaded within {timeout_s:g} s",
            why=f"its status is {seen}" if seen else None,
            fix="loading continues: check model.status() later, or upload with a longer timeout",
        )
    return version


@contextmanager
def _end_line_on_interrupt(doing: Callable[[], str], *, say: Say) -> Iterator[None]:
    """On Ctrl-C, print on a new line that the platform continues."""
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError):
        say(f"\nStopped waiting. The platform continues {doing()}.\n")
        raise


def _poll(
    path: str, query: Mapping[str, Any], look: Callable[[dict[str, Any]], bool], *, timeout_s: float, say: Say
) -> Operation[dict[str, Any] | None]:
    """Poll until `look` returns a result, with a dot for each second. A platform that does not answer is polled again.

    Returns:
        The result; None after `timeout_s` seconds.

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


def _print_change(before: str, status: str, version: Mapping[str, Any], say: Say) -> None:
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
        if version.get("answers") is False and version.get("error_summary"):
            fix = (version.get("fault") or {}).get("fix")
            sys.stderr.write(f"WARNING! {version['error_summary']}\n" + (f"  fix {fix}\n" if fix else ""))
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
    """Deploy a pipeline."""
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
    """Undeploy a pipeline, and wait until it has stopped."""
    answer = yield from call("POST", at("pipelines", name, "undeploy"), query={"workspace": workspace})
    generation = answer["deployment"]["generation"]
    say = one_line(say)
    say(f"Waiting for undeployment - this will take up to {timeout_s:g}s ")

    def is_stopped(deployment: Mapping[str, Any]) -> bool:
        # If another client deployed it again meanwhile, the old deployment has stopped all the same.
        status = deployment["status"]
        is_gone = status["generation"] >= generation and status["state"] == "Stopped"
        return bool(is_gone or deployment["generation"] > generation)

    yield from _settle(name, is_stopped, doing="stopping it", workspace=workspace, timeout_s=timeout_s, say=say)
    say(" ok\n")


def wait_for_deployment(
    name: str, *, workspace: str, generation: int, timeout_s: float, say: Say
) -> Operation[dict[str, Any]]:
    """Wait until the last deploy runs.

    Raises:
        Conflict: it cannot run, and the previous version keeps running; or another client stopped it.
        DeadlineExceeded: it takes longer than `timeout_s`.
    """
    say = one_line(say)
    say(f"Waiting for deployment - this will take up to {timeout_s:g}s ")

    def is_settled(deployment: Mapping[str, Any]) -> bool:
        # If another client deployed again meanwhile, wait for that version.
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
            f"pipeline {name!r} was undeployed while you waited for it", fix="deploy it again", reason="undeployed"
        )
    if status["state"] == "Error":
        say(" error\n")
        raise deployment_error(name, deployment)
    say(" ok\n")
    return deployment


def deployment_error(name: str, deployment: Mapping[str, Any]) -> TrivetError:
    """Why a deployment does not run."""
    fault = deployment["status"].get("fault") or {}
    kept = " The previous version still serves." if deployment["status"].get("serving") else ""
    return Conflict(
        f"pipeline {name!r} could not be deployed: {fault.get('what', 'unknown')}",
        why=fault.get("why"),
        fix=f"{fault.get('fix') or 'fix the model, and deploy again'}.{kept}".replace("..", "."),
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
    with _end_line_on_interrupt(
        lambda: f"{doing}: see get_pipeline({name!r}).status(), or `trivet status {name}`", say=say
    ):
        answer = yield from _poll(path, {"workspace": workspace}, look, timeout_s=timeout_s, say=say)
    if answer is None:
        say("\n")
        status = seen["status"]
        raise DeadlineExceeded(
            f"pipeline {name!r} did not finish within {timeout_s:g} s",
            why=(status.get("fault") or {}).get("what") or f"its status is {status['state']}",
            fix="the platform continues: check pipeline.status(), or wait longer with timeout=",
        )
    return seen
