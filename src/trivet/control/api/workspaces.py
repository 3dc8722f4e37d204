"""Routes for workspaces."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from trivet.control.context import Control
from trivet.control.documents import workspace_document
from trivet.control.request_bodies import NewWorkspace
from trivet.domain.names import check_workspace_name

__all__ = ["workspace_routes"]


def workspace_routes(control: Control) -> APIRouter:
    """Below `/v1/workspaces`."""
    routes = APIRouter()

    @routes.get("/workspaces")
    def list_workspaces() -> dict[str, Any]:
        """All workspaces."""
        return {"workspaces": [workspace_document(each) for each in control.catalog.workspaces.all()]}

    @routes.post("/workspaces", status_code=201)
    def create_workspace(body: NewWorkspace) -> dict[str, Any]:
        """Make a workspace."""
        check_workspace_name(body.name)
        return workspace_document(control.catalog.workspaces.create(body.name, created_by=control.user))

    @routes.get("/workspaces/{name}")
    def get_workspace(name: Annotated[str, Path(description="The workspace's name.")]) -> dict[str, Any]:
        """One workspace."""
        return workspace_document(control.catalog.workspaces.get(name))

    return routes
