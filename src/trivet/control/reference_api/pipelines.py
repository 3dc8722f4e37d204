"""Pipelines in the reference's MLOps API."""

import logging
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter, Body, Request
from fastapi.responses import Response

from trivet.control.context import Control
from trivet.control.documents import status_document
from trivet.control.http.access import CurrentCaller
from trivet.control.http.body_reading import plain_json
from trivet.control.http.log_answer import RECORDS, log_answer
from trivet.control.reference_api.reading import Document, field, optional
from trivet.control.use_cases import logs, pipelines
from trivet.domain.pipeline import CheckStep, Validation
from trivet.errors import Invalid, NotFound, Unsupported

__all__ = ["add_pipeline_routes"]

MOST_PAGE = 100_000

_TREE_FIX = """send what pipeline.steps() shows, as text: '{"Alias": [<expression>, "<name>"]}'"""

log = logging.getLogger(__name__)


def add_pipeline_routes(routes: APIRouter, control: Control) -> None:
    """Below `pipelines`, `status` and `admin`."""

    @routes.post("/pipelines/create")
    def create(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """Create a pipeline with steps, not deployed: `{"pipeline_id": name, "workspace_id", "definition": {"steps"}}`."""
        pipeline, version = pipelines.create_with_steps(
            control,
            caller,
            workspace=field(body, "workspace_id", int),
            name=field(body, "pipeline_id", str),
            steps=_read_steps(optional(optional(body, "definition", dict) or {}, "steps", list) or []),
        )
        return {
            "pipeline_pk_id": pipeline.id,
            "pipeline_variant_pk_id": version.id,
            "pipeline_variant_version": version.uuid,
        }

    @routes.post("/pipelines/copy")
    def copy(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """Create a pipeline with another one's newest steps: `{"name", "workspace_id", "source_pipeline"}`."""
        pipeline, version = pipelines.copy_pipeline(
            control,
            caller,
            source_id=field(body, "source_pipeline", int),
            workspace=field(body, "workspace_id", int),
            name=field(body, "name", str),
        )
        return {
            "pipeline_pk_id": pipeline.id,
            "pipeline_variant_pk_id": version.id,
            "pipeline_version": version.uuid,
            "pipeline_variant_version": version.uuid,
            "deployment": None,
        }

    @routes.post("/pipelines/deploy")
    def deploy(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """Deploy a version: `{"pipeline_id", "pipeline_version_pk_id", "model_configs"?, "engine_config"?}`. A model that is still
        loading is waited for: until then the deployment is `Starting`.
        """
        configs = optional(body, "model_configs", list) or []
        deployment = pipelines.deploy_version(
            control,
            caller,
            pipeline_id=field(body, "pipeline_id", int),
            version_id=field(body, "pipeline_version_pk_id", int),
            config_ids=[field({"model_configs": each}, "model_configs", int) for each in configs],
            config=optional(body, "engine_config", dict) or {},
        )
        return {"id": deployment.id}

    @routes.post("/pipelines/undeploy")
    def undeploy(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """Undeploy: `{"pipeline_id", "deployment_id"}`."""
        pipelines.undeploy_by_id(control, caller, field(body, "pipeline_id", int))
        return {}

    @routes.post("/pipelines/get_logs")
    def get_logs(caller: CurrentCaller, request: Request, body: Document = Body()) -> Response:  # noqa: B008
        """A page of a pipeline's log: `{"pipeline_name", "workspace_id", "cursor"?, "order"?, "page_size"?, "start_time"?,
        "end_time"?}`.
        """
        order: Literal["Asc", "Desc"] = body.get("order") or "Desc"
        size = body.get("page_size") or 1000
        if order not in ("Asc", "Desc"):
            raise Invalid(f"unknown order {order!r}", fix="say Asc or Desc", path="order")
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MOST_PAGE:
            raise Invalid(f"a page of {size!r} rows", fix=f"ask for 1 to {MOST_PAGE}", path="page_size")
        start, end = optional(body, "start_time", str), optional(body, "end_time", str)
        if start is not None and end is None:
            end = datetime.now(UTC).isoformat()
        if end is not None and start is None:
            start = datetime.fromtimestamp(0, UTC).isoformat()
        page = logs.pipeline_logs(
            control,
            caller,
            workspace=field(body, "workspace_id", int),
            name=field(body, "pipeline_name", str),
            limit=size,
            start=start,
            end=end,
            order=order,
            reverses_rows=True,
            cursor=optional(body, "cursor", str),
            dataset=("time", "in", "out", "anomaly", "metadata"),
        )
        return log_answer(page, request.headers.get("accept", ""), usual=RECORDS, is_nested=True)

    @routes.post("/status/get_deployment")
    def get_deployment(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """The status of a deployment: `{"name": "<pipeline>-<deployment id>"}`."""
        deployment, models = pipelines.find_deployment(control, caller, field(body, "name", str))
        address = urlsplit(control.infer_url).netloc
        return status_document(deployment.pipeline, deployment, models, address=address)

    @routes.post("/admin/get_pipeline_external_url")
    def external_url(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """The address of a pipeline: `{"workspace_id", "pipeline_name"}`."""
        workspace, name = field(body, "workspace_id", int), field(body, "pipeline_name", str)
        deployment = pipelines.get_deployment(control, caller, workspace=workspace, name=name)
        if deployment is None:
            raise NotFound("Deployment not found", fix="deploy the pipeline")
        return {"url": f"{control.infer_url}/v1/api/pipelines/infer/{name}-{deployment.id}/{name}"}


def _read_steps(documents: list[Any]) -> list[str | CheckStep]:
    """Steps in the reference's form: a model step becomes the UUID of its version."""
    steps: list[str | CheckStep] = []
    for index, each in enumerate(documents):
        check = optional(each, "Check", dict) if isinstance(each, dict) else None
        if check is not None:
            validations = _read_check(check, path=f"steps[{index}]")
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
        steps.append(field(found[0], "version", str))
    return steps


def _read_check(check: Document, *, path: str) -> tuple[Validation, ...]:
    """Validations as `pipeline.steps()` shows them: `{"tree": [<an expression under its name, as JSON text>]}`."""
    found = []
    for number, text in enumerate(field(check, "tree", list)):
        where = f"{path}.Check.tree[{number}]"
        name, expression = _read_tree(text, path=where)
        if name == "count":
            log.warning("the name `count` is reserved: the validation at %s is ignored", where)
            continue
        found.append(Validation(name=name, expression=expression))
    return tuple(found)


def _read_tree(text: Any, *, path: str) -> tuple[str, str]:
    """A validation's name, and its expression without it."""
    try:
        # It is text within the body, so it is not checked yet.
        tree = orjson.loads(plain_json(text.encode())) if isinstance(text, str) else None
    except Invalid as error:
        raise Invalid("a validation cannot be read", why=error.why or error.what, fix=_TREE_FIX, path=path) from error
    match tree:
        case {"Alias": [expression, str(name)]} if name:
            return name, orjson.dumps(expression).decode()
    raise Invalid("a validation has no name", why=f"it is {text!r:.80}", fix=_TREE_FIX, path=path)
