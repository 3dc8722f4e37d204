"""Use case: reading what a model's workers wrote."""

import time
from typing import NamedTuple

from trivet.control.context import Control
from trivet.disk.worker_logs import LogLine, find_failures, read_log
from trivet.domain.access import Action, Caller, check
from trivet.domain.frameworks import Runtime
from trivet.domain.version import ModelVersion

__all__ = ["RuntimeLog", "runtime_log"]


class RuntimeLog(NamedTuple):
    """Lines that the workers of a version wrote, the oldest first.

    Attributes:
        end: where the next ones begin.
        note: why there are none.
    """

    lines: list[LogLine]
    end: int
    note: str | None


def runtime_log(
    control: Control,
    caller: Caller,
    uuid: str,
    *,
    limit: int,
    since_s: float | None,
    after: int | None,
    request_id: str | None = None,
) -> RuntimeLog:
    """The last lines that the workers of a version wrote: its output, its warnings, the tracebacks of its errors.

    Args:
        control: the parts.
        caller: of the request.
        uuid: of the version.
        limit: lines at most.
        since_s: only lines of so many seconds.
        after: only lines after this `end` of an earlier call.
        request_id: only the tracebacks of this request.

    Raises:
        NotFound: there is no such version.
    """
    check(caller, Action.READ_LOGS)
    version = control.catalog.models.version(uuid)
    check(caller, Action.READ_LOGS, version.workspace_id)
    if request_id is not None:
        failed = find_failures(control.settings.home / "logs", request_id, version=version.uuid)
        note = None if failed else f"no error of request {request_id} with a traceback is known"
        return RuntimeLog(failed[-limit:], 0, note)
    path = control.settings.home / "logs" / f"{version.log_name}.log"
    found = read_log(path, limit=limit, since_s=None if since_s is None else time.time() - since_s, after=after)
    return RuntimeLog(found.lines, found.end, None if found.lines or found.end else _why_empty(version))


def _why_empty(version: ModelVersion) -> str:
    if version.loaded is None:
        return f"it never ran: its status is {version.status}"
    if version.loaded.runtime is Runtime.NATIVE:
        return "it runs in the gateway's process, and writes nothing"
    return "its workers wrote nothing yet"
