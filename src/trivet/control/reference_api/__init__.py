"""The supported part of the reference's MLOps API: the same use cases under its paths and in its shapes.

All are POST with a JSON body, except the two uploads, which are forms.
"""

from collections.abc import Callable

from fastapi import APIRouter

from trivet.control.context import Control
from trivet.control.reference_api.models import add_model_routes
from trivet.control.reference_api.pipelines import add_pipeline_routes
from trivet.control.reference_api.uploads import add_upload_routes
from trivet.control.reference_api.workspaces import add_workspace_routes
from trivet.errors import Unsupported

__all__ = ["ABSENT", "absent_routes", "mlops_routes"]

ABSENT = (
    "/v1/api/assays/create",
    "/v1/api/assays/list",
    "/v1/api/assays/set_active",
    "/v1/api/assays/run_interactive",
    "/v1/api/assays/run_interactive_baseline",
    "/v1/api/assays/get_baseline",
    "/v1/api/assays/get_results",
    "/v1/api/connections/create",
    "/v1/api/connections/get",
    "/v1/api/connections/add_to_workspace",
    "/v1/api/features/list",
    "/v1/api/orchestration/upload",
    "/v1/api/orchestration/list",
    "/v1/api/orchestration/get_by_id",
    "/v1/api/pipelines/publish",
    "/v1/api/pipelines/list_publishes_for_pipeline",
    "/v1/api/pipelines/get_publish_status",
    "/v1/api/pipelines/add_edge_to_publish",
    "/v1/api/pipelines/remove_edge",
    "/v1/api/task/run_once",
    "/v1/api/task/run_scheduled",
    "/v1/api/task/kill",
    "/v1/api/task/get_by_id",
    "/v1/api/task/list_task_runs",
    "/v1/api/task/get_logs_for_run",
    "/v1/api/users/query",
    "/v1/api/users/invite",
    "/v1/api/users/activate",
    "/v1/api/users/deactivate",
    "/v1/api/workspaces/add_user",
    "/v1/api/workspaces/remove_user",
    "/v1/api/workspaces/list_users",
    "/v2/api/assays/get",
    "/v2/api/assays/get_results",
    "/v2/api/assays/get_next_run",
    "/v2/api/assays/set_active",
    "/v1/metrics/api/v1/query",
    "/v1/metrics/api/v1/query_range",
)
"""Paths of the reference that are not supported."""


def mlops_routes(control: Control) -> APIRouter:
    """The supported routes, below `/v1/api`."""
    routes = APIRouter()
    add_upload_routes(routes, control)
    add_model_routes(routes, control)
    add_pipeline_routes(routes, control)
    add_workspace_routes(routes, control)
    return routes


def absent_routes() -> APIRouter:
    """The unsupported routes: each answers with an error."""
    routes = APIRouter()
    for path in ABSENT:
        methods = ["GET", "POST"] if path.startswith("/v1/metrics/") else ["POST"]
        routes.add_api_route(path, _absent(path), methods=methods, include_in_schema=False)
    return routes


def _absent(path: str) -> Callable[[], None]:
    def refuse() -> None:
        raise Unsupported(f"{path} is not supported yet", fix="/docs lists the routes", reason="not_there_yet")

    return refuse
