"""Route for events."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from trivet.control.api import MOST_ID
from trivet.control.context import Control
from trivet.control.http.access import CurrentCaller
from trivet.control.use_cases import platform
from trivet.control.use_cases.platform import NamedEvent

__all__ = ["event_routes"]

MOST_EVENTS = 1000
MOST_WAIT_S = 30.0
LOOK_S = 0.2


def event_routes(control: Control) -> APIRouter:
    """Below `/v1/events`."""
    routes = APIRouter()

    @routes.get("/events")
    async def list_events(
        request: Request,
        caller: CurrentCaller,
        after: Annotated[int, Query(ge=0, le=MOST_ID, description="The `id` of the last known event.")] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_EVENTS, description="Events at most.")] = 100,
        wait_s: Annotated[float, Query(ge=0, le=MOST_WAIT_S, description="How long to wait if there is none.")] = 0,
        workspace: Annotated[str | None, Query(description="A workspace's name; all workspaces by default.")] = None,
        newest: Annotated[bool, Query(description="The last ones instead of the first.")] = False,
    ) -> dict[str, Any]:
        """What happened, the oldest first: uploads, deploys, workers."""
        until = time.monotonic() + wait_s
        while True:
            found = await asyncio.to_thread(
                platform.list_events, control, caller, workspace=workspace, after=after, limit=limit, newest=newest
            )
            left_s = until - time.monotonic()
            if found or left_s <= 0 or control.is_stopping() or await request.is_disconnected():
                return {"events": [_document(event) for event in found]}
            await asyncio.sleep(min(LOOK_S, left_s))

    return routes


def _document(found: NamedEvent) -> dict[str, Any]:
    event, pipeline = found
    return {
        "id": event.id,
        "at": event.at.isoformat(),
        "workspace_id": event.workspace_id,
        "subject": event.subject,
        "subject_id": event.subject_id,
        "pipeline": pipeline,
        "kind": event.kind,
        "text": event.text,
    }
