"""The supported part of the reference's MLOps API: the same use cases under its paths and in its shapes.

All are POST with a JSON body, except the two uploads, which are forms.
"""

from collections.abc import Callable, Mapping
from typing import Final

from fastapi import APIRouter

from trivet.control.context import Control
from trivet.control.reference_api.models import add_model_routes
from trivet.control.reference_api.pipelines import add_pipeline_routes
from trivet.control.reference_api.uploads import add_upload_routes
from trivet.control.reference_api.users import add_user_routes
from trivet.control.reference_api.workspaces import add_workspace_routes
from trivet.errors import Unsupported

__all__ = ["ABSENT", "absent_routes", "mlops_routes"]

_DRIFT = "compare a pipeline's logs of two periods: GET /v1/pipelines/{name}/logs"
_SOURCES = "read the data where it is used, with the client library of its source"
_SCRIPTS = "run the script itself, by cron or another scheduler"
_PUBLISH = "run `trivet up` on the other machine and deploy there, or serve one model with `trivet serve FILE`"
_ONE_USER = "Trivet has one user, the owner: give the other person's client the platform's token"
_METRICS = "GET /metrics of the gateway, which a Prometheus server reads"
_FEATURES = "leave the call out: a platform has all of its features"

ABSENT: Final[Mapping[str, str]] = {
    "/v1/api/assays/create": _DRIFT,
    "/v1/api/assays/list": _DRIFT,
    "/v1/api/assays/set_active": _DRIFT,
    "/v1/api/assays/run_interactive": _DRIFT,
    "/v1/api/assays/run_interactive_baseline": _DRIFT,
    "/v1/api/assays/get_baseline": _DRIFT,
    "/v1/api/assays/get_results": _DRIFT,
    "/v1/api/connections/create": _SOURCES,
    "/v1/api/connections/get": _SOURCES,
    "/v1/api/connections/add_to_workspace": _SOURCES,
    "/v1/api/features/list": _FEATURES,
    "/v1/api/orchestration/upload": _SCRIPTS,
    "/v1/api/orchestration/list": _SCRIPTS,
    "/v1/api/orchestration/get_by_id": _SCRIPTS,
    "/v1/api/pipelines/publish": _PUBLISH,
    "/v1/api/pipelines/list_publishes_for_pipeline": _PUBLISH,
    "/v1/api/pipelines/get_publish_status": _PUBLISH,
    "/v1/api/pipelines/add_edge_to_publish": _PUBLISH,
    "/v1/api/pipelines/remove_edge": _PUBLISH,
    "/v1/api/task/run_once": _SCRIPTS,
    "/v1/api/task/run_scheduled": _SCRIPTS,
    "/v1/api/task/kill": _SCRIPTS,
    "/v1/api/task/get_by_id": _SCRIPTS,
    "/v1/api/task/list_task_runs": _SCRIPTS,
    "/v1/api/task/get_logs_for_run": _SCRIPTS,
    "/v1/api/users/invite": _ONE_USER,
    "/v1/api/users/deactivate": _ONE_USER,
    "/v1/api/workspaces/remove_user": _ONE_USER,
    "/v2/api/assays/get": _DRIFT,
    "/v2/api/assays/get_results": _DRIFT,
    "/v2/api/assays/get_next_run": _DRIFT,
    "/v2/api/assays/set_active": _DRIFT,
    "/v1/metrics/api/v1/query": _METRICS,
    "/v1/metrics/api/v1/query_range": _METRICS,
}
"""Paths of the reference that are not supported, and what to use instead."""


def mlops_routes(control: Control) -> APIRouter:
    """The supported routes, below `/v1/api`."""
    routes = APIRouter()
    add_upload_routes(routes, control)
    add_model_routes(routes, control)
    add_pipeline_routes(routes, control)
    add_workspace_routes(routes, control)
    add_user_routes(routes, control)
    return routes


def absent_routes() -> APIRouter:
    """The unsupported routes: each answers with an error."""
    routes = APIRouter()
    for path, fix in ABSENT.items():
        methods = ["GET", "POST"] if path.startswith("/v1/metrics/") else ["POST"]
        routes.add_api_route(path, _absent(path, fix), methods=methods, include_in_schema=False)
    return routes


def _absent(path: str, fix: str) -> Callable[[], None]:
    def refuse() -> None:
        raise Unsupported(f"{path} is not supported yet", fix=fix, reason="not_there_yet")

    return refuse
