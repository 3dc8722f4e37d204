"""Routes for pipelines, their deployments and logs."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from trivet.control.api import PipelineName, Workspace
from trivet.control.context import Control
from trivet.control.documents import (
    deployment_document,
    pipeline_document,
    pipeline_version_document,
    status_document,
)
from trivet.control.http.access import CurrentCaller
from trivet.control.http.log_answer import log_answer
from trivet.control.request_bodies import Deploy, NewPipeline
from trivet.control.use_cases import logs, pipelines

__all__ = ["pipeline_routes"]

MOST_ROWS = 1_000_000


def pipeline_routes(control: Control) -> APIRouter:
    """Below `/v1/pipelines`."""
    routes = APIRouter()

    @routes.get("/pipelines")
    def list_pipelines(caller: CurrentCaller, workspace: Workspace = "default") -> dict[str, Any]:
        """The pipelines of a workspace."""
        found, listed = pipelines.list_pipelines(control, caller, workspace=workspace)
        return {"pipelines": [pipeline_document(each, workspace=found.name) for each in listed]}

    @routes.post("/pipelines", status_code=201)
    def build_pipeline(caller: CurrentCaller, body: NewPipeline) -> JSONResponse:
        """Create a pipeline; 200 and the existing one if the name is taken."""
        pipeline, is_new = pipelines.build_pipeline(control, caller, workspace=body.workspace, name=body.name)
        document = pipeline_document(pipeline, workspace=body.workspace)
        return JSONResponse(document, status_code=201 if is_new else 200)

    @routes.get("/pipelines/{name}")
    def get_pipeline(caller: CurrentCaller, name: PipelineName, workspace: Workspace = "default") -> dict[str, Any]:
        """A pipeline with its versions, the newest first."""
        found, pipeline = pipelines.get_pipeline(control, caller, workspace=workspace, name=name)
        return pipeline_document(pipeline, workspace=found.name)

    @routes.delete("/pipelines/{name}")
    def delete_pipeline(caller: CurrentCaller, name: PipelineName, workspace: Workspace = "default") -> dict[str, Any]:
        """Delete a pipeline with all its versions. Refused while it is deployed."""
        pipelines.delete_pipeline(control, caller, workspace=workspace, name=name)
        return {"deleted": name}

    @routes.post("/pipelines/{name}/deploy", status_code=202)
    def deploy(
        caller: CurrentCaller, name: PipelineName, body: Deploy, workspace: Workspace = "default"
    ) -> dict[str, Any]:
        """Deploy a pipeline with these steps; each deploy is a new version. The old version answers until the new one is warm."""
        version, deployment = pipelines.deploy(control, caller, workspace=workspace, name=name, body=body)
        return {
            "pipeline_version": pipeline_version_document(version),
            "deployment": deployment_document(deployment),
        }

    @routes.post("/pipelines/{name}/undeploy", status_code=202)
    def undeploy(caller: CurrentCaller, name: PipelineName, workspace: Workspace = "default") -> dict[str, Any]:
        """Stop a pipeline. Requests in flight are answered first."""
        deployment = pipelines.undeploy(control, caller, workspace=workspace, name=name)
        return {"deployment": deployment_document(deployment)}

    @routes.post("/pipelines/{name}/rollback", status_code=202)
    def rollback(caller: CurrentCaller, name: PipelineName, workspace: Workspace = "default") -> dict[str, Any]:
        """Deploy the version before the one that is deployed, with the same configuration."""
        version, deployment = pipelines.rollback(control, caller, workspace=workspace, name=name)
        return {
            "pipeline_version": pipeline_version_document(version),
            "deployment": deployment_document(deployment),
        }

    @routes.get("/pipelines/{name}/deployment")
    def get_deployment(caller: CurrentCaller, name: PipelineName, workspace: Workspace = "default") -> dict[str, Any]:
        """A pipeline's deployment and its last status."""
        found = pipelines.get_deployment(control, caller, workspace=workspace, name=name)
        return {"deployment": None if found is None else deployment_document(found)}

    @routes.get("/pipelines/{name}/status")
    def get_status(caller: CurrentCaller, name: PipelineName, workspace: Workspace = "default") -> dict[str, Any]:
        """The same, in the reference's form."""
        deployment, models = pipelines.get_status(control, caller, workspace=workspace, name=name)
        return status_document(name, deployment, models, address=urlsplit(control.infer_url).netloc)

    @routes.get("/pipelines/{name}/url")
    def get_url(caller: CurrentCaller, name: PipelineName, workspace: Workspace = "default") -> dict[str, Any]:
        """The addresses of a pipeline."""
        found = pipelines.get_deployment(control, caller, workspace=workspace, name=name)
        full = None if found is None else f"{control.infer_url}/v1/api/pipelines/infer/{name}-{found.id}/{name}"
        return {"url": full, "pipeline_url": f"{control.infer_url}/pipelines/{name}/infer"}

    @routes.get("/pipelines/{name}/logs")
    def get_logs(
        caller: CurrentCaller,
        name: PipelineName,
        request: Request,
        workspace: Workspace = "default",
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Rows at most.")] = 100,
        start: Annotated[str | None, Query(description="The first time; needs `end`.")] = None,
        end: Annotated[str | None, Query(description="The last time; needs `start`.")] = None,
        order: Annotated[Literal["Asc", "Desc"] | None, Query(description="`Desc`: the newest request first.")] = None,
        reverse_rows: Annotated[bool, Query(description="With `Desc`, also reverse the rows of each request.")] = False,
        cursor: Annotated[str | None, Query(description="The `x-iteration-cursor` of the page before.")] = None,
        dataset: Annotated[list[str] | None, Query(alias="dataset[]", description="Parts or columns.")] = None,
        exclude: Annotated[list[str] | None, Query(alias="dataset.exclude[]", description="Likewise.")] = None,
    ) -> Response:
        """The inference log: an Arrow stream, or records if `Accept` says JSON."""
        page = logs.pipeline_logs(
            control,
            caller,
            workspace=workspace,
            name=name,
            limit=limit,
            start=start,
            end=end,
            order=order,
            reverses_rows=reverse_rows,
            cursor=cursor,
            dataset=dataset or (),
            exclude=exclude or (),
        )
        return log_answer(page, request.headers.get("accept", ""))

    return routes
