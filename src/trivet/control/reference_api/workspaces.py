"""Workspaces in the reference's MLOps API."""

from fastapi import APIRouter, Body

from trivet.control.context import Control
from trivet.control.http.access import CurrentCaller
from trivet.control.reference_api.reading import Document, field
from trivet.control.use_cases import workspaces

__all__ = ["add_workspace_routes"]


def add_workspace_routes(routes: APIRouter, control: Control) -> None:
    """Below `workspaces`."""

    @routes.post("/workspaces/list")
    def list_workspaces(caller: CurrentCaller) -> Document:
        """All workspaces, with the ids of what is in them."""
        return {
            "workspaces": [
                {
                    "id": each.id,
                    "name": each.name,
                    "created_at": each.created_at.isoformat(),
                    "created_by": each.created_by,
                    "archived": each.archived,
                    "models": models,
                    "pipelines": pipelines,
                }
                for each, models, pipelines in workspaces.list_workspaces_with_contents(control, caller)
            ]
        }

    @routes.post("/workspaces/create")
    def create_workspace(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008 - FastAPI's way of saying where it comes from
        """Create a workspace: `{"workspace_name"}`."""
        name = field(body, "workspace_name", str)
        return {"workspace_id": workspaces.create_workspace(control, caller, name).id}
