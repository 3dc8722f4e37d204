"""Pipelines in the reference's MLOps API."""

import logging
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import orjson
from fastapi import APIRouter, Body, Request
from fastapi.responses import Response

from trivet.control.context import Control
from trivet.control.documents import status_document, step_document
from trivet.control.http.body_reading import plain_json
from trivet.control.http.log_answer import RECORDS, log_answer
from trivet.control.reference_api.reading import Document, field, optional
from trivet.control.request_bodies import Deploy
from trivet.control.use_cases import logs, pipelines
from trivet.domain.pipeline import CheckStep, ModelStep, Pipeline, PipelineStep, Validation
from trivet.errors import Invalid, NotFound, Unsupported

__all__ = ["add_pipeline_routes"]

MOST_PAGE = 100_000

_TREE_FIX = """send what pipeline.steps() shows, as text: '{"Alias": [<expression>, "<name>"]}'"""

log = logging.getLogger(__name__)


def add_pipeline_routes(routes: APIRouter, control: Control) -> None:
    """Below `pipelines`, `status` and `admin`."""

    def named(body: Document, name: str = "pipeline_id") -> Pipeline:
        return control.catalog.pipelines.by_id(field(body, name, int))

    @routes.post("/pipelines/create")
    def create(body: Document = Body()) -> Document:  # noqa: B008
        """Make a pipeline with steps, not deployed: `{"pipeline_id": name, "workspace_id", "definition": {"steps"}}`."""
        workspace = control.catalog.workspaces.get(field(body, "workspace_id", int))
        name = field(body, "pipeline_id", str)
        steps = _read_steps(control, optional(optional(body, "definition", dict) or {}, "steps", list) or [])
        pipeline, _ = pipelines.build_pipeline(control, workspace=workspace.name, name=name)
        version = control.catalog.pipelines.add_version(pipeline.id, steps=steps)
        return {
            "pipeline_pk_id": pipeline.id,
            "pipeline_variant_pk_id": version.id,
            "pipeline_variant_version": version.uuid,
        }

    @routes.post("/pipelines/copy")
    def copy(body: Document = Body()) -> Document:  # noqa: B008
        """Make a pipeline with another one's newest steps: `{"name", "workspace_id", "source_pipeline"}`."""
        source = named(body, "source_pipeline")
        workspace = control.catalog.workspaces.get(field(body, "workspace_id", int))
        pipeline, _ = pipelines.build_pipeline(control, workspace=workspace.name, name=field(body, "name", str))
        version = control.catalog.pipelines.add_version(pipeline.id, steps=source.versions[0].steps)
        return {
            "pipeline_pk_id": pipeline.id,
            "pipeline_variant_pk_id": version.id,
            "pipeline_version": version.uuid,
            "pipeline_variant_version": version.uuid,
            "deployment": None,
        }

    @routes.post("/pipelines/deploy")
    def deploy(body: Document = Body()) -> Document:  # noqa: B008
        """Deploy a version: `{"pipeline_id", "pipeline_version_pk_id", "model_configs"?, "engine_config"?}`."""
        pipeline = named(body)
        key = field(body, "pipeline_version_pk_id", int)
        version = next((each for each in pipeline.versions if each.id == key), None)
        if version is None:
            raise NotFound(f"Pipeline version {key} not found in this workspace", fix="create it first")
        workspace = control.catalog.workspaces.get(pipeline.workspace_id).name
        config = optional(body, "engine_config", dict) or {}
        steps = _reconfigured(control, version.steps, optional(body, "model_configs", list) or [])
        if steps == version.steps:
            wanted = Deploy(version=version.uuid, config=config, log_inferences=True)
        else:
            wanted = Deploy.model_validate({"steps": [step_document(step) for step in steps], "config": config})
        _, deployment = pipelines.deploy(control, workspace=workspace, name=pipeline.name, body=wanted)
        return {"id": deployment.id}

    @routes.post("/pipelines/undeploy")
    def undeploy(body: Document = Body()) -> Document:  # noqa: B008
        """Undeploy: `{"pipeline_id", "deployment_id"}`."""
        pipeline = named(body)
        workspace = control.catalog.workspaces.get(pipeline.workspace_id).name
        pipelines.undeploy(control, workspace=workspace, name=pipeline.name)
        return {}

    @routes.post("/pipelines/get_logs")
    def get_logs(request: Request, body: Document = Body()) -> Response:  # noqa: B008
        """A page of a pipeline's log: `{"pipeline_name", "workspace_id", "cursor"?, "order"?, "page_size"?, "start_time"?,
        "end_time"?}`.
        """
        order: Literal["Asc", "Desc"] = body.get("order") or "Desc"
        size = body.get("page_size") or 1000
        if order not in ("Asc", "Desc"):
            raise Invalid(f"there is no order {order!r}", fix="say Asc or Desc", path="order")
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MOST_PAGE:
            raise Invalid(f"a page of {size!r} rows", fix=f"ask for 1 to {MOST_PAGE}", path="page_size")
        start, end = optional(body, "start_time", str), optional(body, "end_time", str)
        if start is not None and end is None:
            end = datetime.now(UTC).isoformat()
        if end is not None and start is None:
            start = datetime.fromtimestamp(0, UTC).isoformat()
        page = logs.pipeline_logs(
            control,
            workspace=field(body, "workspace_id", int),
            name=field(body, "pipeline_name", str),
            limit=size,
            start=start,
            end=end,
            order=order,
            cursor=optional(body, "cursor", str),
            dataset=("time", "in", "out", "anomaly", "metadata"),
        )
        return log_answer(page, request.headers.get("accept", ""), usual=RECORDS)

    @routes.post("/status/get_deployment")
    def get_deployment(body: Document = Body()) -> Document:  # noqa: B008
        """What runs: `{"name": "<pipeline>-<deployment id>"}`."""
        name, _, key = field(body, "name", str).rpartition("-")
        for deployment in control.catalog.deployments.all():
            if deployment.pipeline == name and str(deployment.id) == key:
                found = pipelines.deployed_models(control, deployment)
                address = urlsplit(control.infer_url).netloc
                return status_document(name, deployment, found, address=address)
        raise NotFound("Deployment not found", fix="deploy the pipeline; its name is <pipeline>-<deployment id>")

    @routes.post("/admin/get_pipeline_external_url")
    def external_url(body: Document = Body()) -> Document:  # noqa: B008
        """Where a pipeline answers: `{"workspace_id", "pipeline_name"}`."""
        pipeline = control.catalog.pipelines.get(
            control.catalog.workspaces.get(field(body, "workspace_id", int)).id, field(body, "pipeline_name", str)
        )
        deployment = control.catalog.deployments.of(pipeline.id)
        if deployment is None:
            raise NotFound("Deployment not found", fix="deploy the pipeline")
        name = pipeline.name
        return {"url": f"{control.infer_url}/v1/api/pipelines/infer/{name}-{deployment.id}/{name}"}


def _read_steps(control: Control, said: list[Any]) -> tuple[PipelineStep, ...]:
    steps: list[PipelineStep] = []
    for index, each in enumerate(said):
        check = optional(each, "Check", dict) if isinstance(each, dict) else None
        if check is not None:
            validations = _read_check(control, check, path=f"steps[{index}]")
            if validations:
                steps.append(CheckStep(validations=validations))
            continue
        inference = optional(each, "ModelInference", dict) if isinstance(each, dict) else None
        found = optional(inference or {}, "models", list) or []
        if len(found) != 1 or not isinstance(found[0], dict):
            raise Unsupported(
                "a step that is neither one model nor a check is not supported yet",
                fix="send ModelInference with one model, or Check",
                path=f"steps[{index}]",
            )
        version = control.catalog.models.version(field(found[0], "version", str))
        config = version.config
        steps.append(
            ModelStep(
                name=version.name,
                version=version.uuid,
                sha=version.sha,
                config_id=None if config is None else config.id,
            )
        )
    return tuple(steps)


def _read_check(control: Control, said: Document, *, path: str) -> tuple[Validation, ...]:
    """What `pipeline.steps()` shows of validations: `{"tree": [<an expression under its name, as JSON text>]}`."""
    found = []
    for number, text in enumerate(field(said, "tree", list)):
        where = f"{path}.Check.tree[{number}]"
        name, expression = _read_tree(text, path=where)
        if name == "count":
            log.warning("the name `count` is reserved: the validation at %s is ignored", where)
            continue
        control.check_expression(expression)
        found.append(Validation(name=name, expression=expression))
    return tuple(found)


def _read_tree(text: Any, *, path: str) -> tuple[str, str]:
    """A validation's name, and its expression without it."""
    try:
        # It is text within the body, so nobody has looked into it yet.
        tree = orjson.loads(plain_json(text.encode())) if isinstance(text, str) else None
    except Invalid as error:
        raise Invalid("a validation cannot be read", why=error.why or error.what, fix=_TREE_FIX, path=path) from error
    match tree:
        case {"Alias": [expression, str(name)]} if name:
            return name, orjson.dumps(expression).decode()
    raise Invalid("a validation has no name", why=f"it is {text!r:.80}", fix=_TREE_FIX, path=path)


def _reconfigured(control: Control, steps: tuple[PipelineStep, ...], config_ids: list[Any]) -> tuple[PipelineStep, ...]:
    """Steps under other configurations of the same versions."""
    by_version = {}
    for config_id in config_ids:
        config = control.catalog.models.config(field({"model_configs": config_id}, "model_configs", int))
        by_version[control.catalog.models.version(config.version_id).uuid] = config.id
    return tuple(
        msgspec.structs.replace(step, config_id=by_version[step.version])
        if isinstance(step, ModelStep) and step.version in by_version
        else step
        for step in steps
    )
