"""Routes for workspaces."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from trivet.control.context import Control
from trivet.control.documents import workspace_document
from trivet.control.http.access import CurrentCaller
from trivet.control.request_bodies import NewWorkspace
from trivet.control.use_cases import workspaces

__all__ = ["workspace_routes"]


def workspace_routes(control: Control) -> APIRouter:
    """Below `/v1/workspaces`."""
    routes = APIRouter()

    @routes.get("/workspaces")
    def list_workspaces(caller: CurrentCaller) -> dict[str, Any]:
        """All workspaces."""
        return {"workspaces": [workspace_document(each) for each in workspaces.list_workspaces(control, caller)]}

    @routes.post("/workspaces", status_code=201)
    def create_workspace(caller: CurrentCaller, body: NewWorkspace) -> dict[str, Any]:
        """Create a workspace."""
        return workspace_document(workspaces.create_workspace(control, caller, body.name))

    @routes.get("/workspaces/{name}")
    def get_workspace(
        caller: CurrentCaller, name: Annotated[str, Path(description="The workspace's name.")]
    ) -> dict[str, Any]:
        """One workspace."""
        return workspace_document(workspaces.get_workspace(control, caller, name))

    return routes
