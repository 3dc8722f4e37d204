"""Models in the reference's MLOps API."""

from fastapi import APIRouter, Body
from pydantic import ValidationError

from trivet import __version__
from trivet.control.context import Control
from trivet.control.documents import runtime_of
from trivet.control.http.access import CurrentCaller
from trivet.control.http.errors import of_details
from trivet.control.reference_api.reading import Document, field, optional
from trivet.control.request_bodies import Configure
from trivet.control.use_cases import models
from trivet.domain.encoding import schema_to_text
from trivet.domain.version import Model, ModelVersion
from trivet.errors import Invalid

__all__ = ["add_model_routes"]


def add_model_routes(routes: APIRouter, control: Control) -> None:
    """Below `models`."""

    @routes.post("/models/list")
    def list_models(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """The models of a workspace, each with its versions: `{"workspace_id"}`."""
        listed = models.list_models_with_versions(control, caller, workspace=field(body, "workspace_id", int))
        return {
            "models": [
                {
                    "model": {
                        "id": model.id,
                        "name": model.name,
                        "owner_id": '""',
                        "created_at": model.created_at.isoformat(),
                        "updated_at": model.updated_at.isoformat(),
                    },
                    "model_versions": [_listed(model, version) for version in versions],
                }
                for model, versions in listed
            ]
        }

    @routes.post("/models/list_versions")
    def list_versions(caller: CurrentCaller, body: Document = Body()) -> list[Document]:  # noqa: B008
        """A model's versions: `{"model_id": name, "models_pk_id": id}`. With both, the name decides."""
        name, key = optional(body, "model_id", str), optional(body, "models_pk_id", int)
        if name is None and key is None:
            raise Invalid("neither 'model_id' nor 'models_pk_id' is there", fix="send one", path="model_id")
        model, versions = models.find_versions(control, caller, name=name, model_id=key)
        return [_listed(model, version) for version in versions]

    @routes.post("/models/get_version_by_id")
    def get_version(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """A version with its configuration: `{"model_version_id"}`."""
        version, is_deployed = models.get_version_with_use(control, caller, field(body, "model_version_id", int))
        return {"model_version": _version(version, is_deployed=is_deployed)}

    @routes.post("/models/get_config_by_id")
    def get_config(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """A version's configuration: `{"model_id"}`, which is the version's id."""
        version, _ = models.get_version(control, caller, field(body, "model_id", int))
        return {"model_config": _config(version)}

    @routes.post("/models/insert_model_config")
    def insert_config(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """Configure a version: `{"model_version_id", "tensor_fields"?, "batch_config"?, "input_schema"?, "output_schema"?}`.

        Other fields of the reference's configuration, as `filter_threshold`, change nothing.
        """
        version_id = field(body, "model_version_id", int)
        known = ("tensor_fields", "batch_config", "input_schema", "output_schema")
        try:
            wanted = Configure(**{name: body.get(name) for name in known})
        except ValidationError as error:
            raise of_details([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error
        models.configure(control, caller, version_id, wanted)
        version, _ = models.get_version(control, caller, version_id)
        return {"model_config": _config(version)}

    @routes.post("/models/get_upload_logs")
    def get_upload_logs(caller: CurrentCaller, body: Document = Body()) -> Document:  # noqa: B008
        """The log of a version's loading: `{"model_version_id"}`."""
        lines = models.list_upload_log(control, caller, field(body, "model_version_id", int))
        return {"logs": "\n".join(f"{line.at.isoformat()} {line.level} {line.text}" for line in lines)}


def _listed(model: Model, version: ModelVersion) -> Document:
    return {
        "id": version.id,
        "models_pk_id": model.id,
        "model_id": model.name,
        "model_version": version.uuid,
        "owner_id": '""',
        "file_name": version.file_name,
        "sha": version.sha,
        "status": version.status,
    }


def _version(version: ModelVersion, *, is_deployed: bool) -> Document:
    settings = version.settings
    return {
        "model_version": {
            "name": version.name,
            "visibility": version.visibility,
            "workspace_id": version.workspace_id,
            "conversion": {
                "arch": version.arch,
                "accel": version.accel,
                "python_version": (version.loaded.python_version if version.loaded else settings.python) or "3.8",
                "requirements": [],
                "framework": version.framework,
            },
            "id": version.id,
            "image_path": None,
            "status": version.status,
            "task_id": None,
            "file_info": {
                "version": version.uuid,
                "sha": version.sha,
                "file_name": version.file_name,
                "size": version.size,
            },
            "created_on_version": __version__,
            "created_by": version.created_by,
            "created_at": version.created_at.isoformat(),
            "deployed": is_deployed,
            "error_summary": None if version.trouble is None else version.trouble.message,
        },
        "config": _config(version),
    }


def _config(version: ModelVersion) -> Document:
    config, loaded = version.config, version.loaded
    given = loaded.settings if loaded else version.settings
    fields = (config and config.tensor_fields) or given.tensor_fields
    inputs = (config and config.input_schema) or (loaded.input_schema if loaded else version.settings.input_schema)
    outputs = (config and config.output_schema) or (loaded.output_schema if loaded else version.settings.output_schema)
    delay = None if config is None else config.max_batch_delay_ms
    return {
        "id": None if config is None else config.id,
        "model_version_id": version.id,
        "runtime": runtime_of(version),
        "filter_threshold": None,
        "tensor_fields": list(fields) if fields else None,
        "input_schema": None if inputs is None else schema_to_text(inputs),
        "output_schema": None if outputs is None else schema_to_text(outputs),
        "batch_config": (config and config.batch_config) or given.batch_config,
        "dynamic_batching_config": None
        if config is None or delay is None
        else {
            "max_batch_delay_ms": delay,
            "batch_size_target": config.batch_size_target,
            "batch_size_limit": config.batch_size_limit,
        },
        "continuous_batching_config": None,
        "queue_depth": None,
        "sidekick_uri": None,
        "openai": None,
    }
