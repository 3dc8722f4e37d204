"""Route for what runs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from trivet.control.api import Workspace
from trivet.control.context import Control
from trivet.control.http.access import CurrentCaller
from trivet.control.report_documents import report_document
from trivet.control.use_cases import status

__all__ = ["status_routes"]


def status_routes(control: Control) -> APIRouter:
    """Below `/v1/status`."""
    routes = APIRouter()

    @routes.get("/status")
    def get_status(
        caller: CurrentCaller,
        workspace: Workspace = "default",
        pipeline: Annotated[str | None, Query(description="Only this pipeline.")] = None,
    ) -> dict[str, Any]:
        """What runs: for each pipeline its state, the versions that answer, its workers with their restarts, the last error, and
        the requests of the last five minutes.
        """
        found = status.list_reports(control, caller, workspace=workspace, pipeline=pipeline)
        return {
            "pipelines": [
                report_document(
                    each, workspace=workspace, url=f"{control.infer_url}/pipelines/{each.pipeline.name}/infer"
                )
                for each in found
            ]
        }

    return routes
