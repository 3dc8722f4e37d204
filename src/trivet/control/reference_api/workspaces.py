"""Workspaces in the reference's MLOps API."""

from fastapi import APIRouter, Body

from trivet.control.context import Control
from trivet.control.reference_api.reading import Document, field
from trivet.domain.names import check_workspace_name

__all__ = ["add_workspace_routes"]


def add_workspace_routes(routes: APIRouter, control: Control) -> None:
    """Below `workspaces`."""

    @routes.post("/workspaces/list")
    def list_workspaces() -> Document:
        """All workspaces, with the ids of what is in them."""
        return {
            "workspaces": [
                {
                    "id": each.id,
                    "name": each.name,
                    "created_at": each.created_at.isoformat(),
                    "created_by": each.created_by,
                    "archived": each.archived,
                    "models": [model.id for model in control.catalog.models.all(each.id)],
                    "pipelines": [pipeline.id for pipeline in control.catalog.pipelines.all(each.id)],
                }
                for each in control.catalog.workspaces.all()
            ]
        }

    @routes.post("/workspaces/create")
    def create_workspace(body: Document = Body()) -> Document:  # noqa: B008 - FastAPI's way of saying where it comes from
        """Make a workspace: `{"workspace_name"}`."""
        name = check_workspace_name(field(body, "workspace_name", str))
        return {"workspace_id": control.catalog.workspaces.create(name, created_by=control.user).id}
