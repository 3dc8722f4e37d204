"""The domain's values as the control API's JSON."""

from datetime import datetime
from importlib.metadata import version as release
from typing import Any

import pyarrow as pa
from msgspec import to_builtins

from trivet.domain.deployment import Deployment, DeploymentState
from trivet.domain.encoding import schema_to_text
from trivet.domain.fault import Fault
from trivet.domain.frameworks import Runtime
from trivet.domain.pipeline import CheckStep, Pipeline, PipelineStep, PipelineVersion
from trivet.domain.protections import protections_of
from trivet.domain.runtimes import why_not_converted
from trivet.domain.schema import format_schema
from trivet.domain.version import Model, ModelConfig, ModelVersion, Workspace, batching_of, network_of

__all__ = [
    "config_document",
    "deployment_document",
    "model_document",
    "pipeline_document",
    "pipeline_version_document",
    "runtime_of",
    "status_document",
    "step_document",
    "version_document",
    "workspace_document",
]


def _time(moment: datetime) -> str:
    return moment.isoformat()


def _schema(schema: pa.Schema | None) -> str | None:
    return None if schema is None else schema_to_text(schema)


def _text(schema: pa.Schema | None) -> str | None:
    return None if schema is None else format_schema(schema)


def fault_document(fault: Fault | None) -> dict[str, Any] | None:
    """An error, without the fields that it lacks."""
    if fault is None:
        return None
    fields = {"what": fault.what, "why": fault.why, "fix": fault.fix, "path": fault.path, "reason": fault.reason}
    return {"error": fault.error, **{name: value for name, value in fields.items() if value is not None}}


def protections_document(held: tuple[str, ...] | None) -> dict[str, Any] | None:
    """What keeps a worker to its own files and processes; None if it is not known."""
    if held is None:
        return None
    found = protections_of(held)
    return {
        "landlock": found.landlock,
        "own_user": found.own_user,
        "own_tmp": found.own_tmp,
        "closed": list(found.closed),
        "open": list(found.open),
    }


def workspace_document(workspace: Workspace) -> dict[str, Any]:
    """A workspace."""
    return {
        "id": workspace.id,
        "name": workspace.name,
        "archived": workspace.archived,
        "created_by": workspace.created_by,
        "created_at": _time(workspace.created_at),
    }


def model_document(model: Model, *, workspace: str) -> dict[str, Any]:
    """A model, without its versions."""
    return {
        "id": model.id,
        "name": model.name,
        "workspace_id": model.workspace_id,
        "workspace": workspace,
        "versions": model.versions,
        "created_at": _time(model.created_at),
        "updated_at": _time(model.updated_at),
    }


def runtime_of(version: ModelVersion) -> str | None:
    """The reference's name for the runtime of a version; None until it is known."""
    if version.loaded is None:
        return None
    return "onnx" if version.loaded.is_session and version.loaded.converted is None else "flight"


def _why(version: ModelVersion) -> str | None:
    """Why a version runs where it does; None until it is loaded."""
    loaded = version.loaded
    if loaded is None or loaded.is_untried:
        return None
    if loaded.proof is not None and loaded.native_fault is None:
        return why_not_converted(loaded, onnxruntime=release("onnxruntime")) or loaded.proof.reason
    if not loaded.is_session and loaded.native_fault is None:
        return "its code runs in workers only"
    if loaded.native_fault is not None:
        return f"{loaded.native_fault}, so it moved to workers for good"
    if loaded.not_harmless is not None:
        trusted = (
            "" if loaded.runtime is Runtime.ISOLATED else "; TRIVET_TRUST_NATIVE lets it run in the gateway's process"
        )
        return f"{loaded.not_harmless}{trusted}"
    if loaded.runtime is Runtime.ISOLATED:
        return "its settings ask for it"
    return (
        "its graph is harmless" if loaded.examined else "an earlier release loaded it; it is examined at its next load"
    )


def version_document(version: ModelVersion, *, workspace: str) -> dict[str, Any]:
    """A model version with its newest configuration."""
    loaded = version.loaded
    inputs = loaded.input_schema if loaded else version.settings.input_schema
    outputs = loaded.output_schema if loaded else version.settings.output_schema
    batching, reason = (None, None) if loaded is None or loaded.is_untried else batching_of(loaded, version.config)
    return {
        "id": version.id,
        "uuid": version.uuid,
        "model_id": version.model_id,
        "name": version.name,
        "workspace_id": version.workspace_id,
        "workspace": workspace,
        "number": version.number,
        "file_name": version.file_name,
        "sha": version.sha,
        "size": version.size,
        "framework": version.framework,
        "arch": version.arch,
        "accel": version.accel,
        "visibility": version.visibility,
        "status": version.status,
        "error_summary": None if version.trouble is None else version.trouble.message,
        "fault": fault_document(version.trouble),
        "answers": None if loaded is None else loaded.answered,
        "runtime": runtime_of(version),
        "where": None if loaded is None or loaded.is_untried else loaded.runtime,
        "where_why": _why(version),
        "proof": None if loaded is None or loaded.proof is None else to_builtins(loaded.proof),
        "python_version": None if loaded is None else loaded.python_version,
        "packages": [] if loaded is None else list(loaded.packages),
        "input_schema": _schema(inputs),
        "output_schema": _schema(outputs),
        "input_schema_text": _text(inputs),
        "output_schema_text": _text(outputs),
        "allow_nulls": version.settings.allow_nulls,
        "batching": batching,
        "batching_reason": reason,
        "network": None if loaded is None else network_of(loaded, version.config),
        "protections": None if loaded is None else protections_document(loaded.protections),
        "notes": [] if loaded is None else list(loaded.notes),
        "config": None if version.config is None else config_document(version.config),
        "created_by": version.created_by,
        "created_at": _time(version.created_at),
        "updated_at": _time(version.updated_at),
    }


def config_document(config: ModelConfig) -> dict[str, Any]:
    """A configuration."""
    return {
        "id": config.id,
        "version_id": config.version_id,
        "runtime": config.runtime,
        "network": config.network,
        "tensor_fields": None if config.tensor_fields is None else list(config.tensor_fields),
        "batch_config": config.batch_config,
        "input_schema": _schema(config.input_schema),
        "output_schema": _schema(config.output_schema),
        "max_batch_delay_ms": config.max_batch_delay_ms,
        "batch_size_target": config.batch_size_target,
        "batch_size_limit": config.batch_size_limit,
    }


def step_document(step: PipelineStep) -> dict[str, Any]:
    """A step, as a deploy takes it."""
    if isinstance(step, CheckStep):
        return {
            "step": "check",
            "validations": [{"name": each.name, "expression": each.expression} for each in step.validations],
        }
    return {
        "step": "model",
        "version": step.version,
        "config_id": step.config_id,
        "name": step.name,
        "sha": step.sha,
    }


def pipeline_version_document(version: PipelineVersion) -> dict[str, Any]:
    """A pipeline version."""
    return {
        "id": version.id,
        "uuid": version.uuid,
        "pipeline_id": version.pipeline_id,
        "number": version.number,
        "steps": [step_document(step) for step in version.steps],
        "created_at": _time(version.created_at),
    }


def pipeline_document(pipeline: Pipeline, *, workspace: str) -> dict[str, Any]:
    """A pipeline with all its versions, the newest first."""
    return {
        "id": pipeline.id,
        "name": pipeline.name,
        "workspace_id": pipeline.workspace_id,
        "workspace": workspace,
        "deployed": pipeline.deployed,
        "tags": list(pipeline.tags),
        "versions": [pipeline_version_document(version) for version in pipeline.versions],
        "created_at": _time(pipeline.created_at),
        "updated_at": _time(pipeline.updated_at),
    }


def deployment_document(deployment: Deployment) -> dict[str, Any]:
    """A deployment with its last status."""
    status = deployment.status
    workers = [
        {
            "id": worker.id,
            "model": worker.model,
            "version": worker.version,
            "status": worker.status,
            "pid": worker.pid,
            "reason": worker.reason,
            "protections": protections_document(worker.protections),
        }
        for worker in status.workers
    ]
    return {
        "id": deployment.id,
        "pipeline": deployment.pipeline,
        "pipeline_id": deployment.pipeline_id,
        "pipeline_version": deployment.pipeline_version,
        "wanted": deployment.wanted,
        "generation": deployment.generation,
        "config": deployment.config.document,
        "log_inferences": deployment.config.log_inferences,
        "status": {
            "state": status.state,
            "generation": status.generation,
            "serving": status.serving,
            "fault": fault_document(status.fault),
            "gateway": status.gateway,
            "workers": workers,
        },
        "created_at": _time(deployment.created_at),
        "updated_at": _time(deployment.updated_at),
    }


def status_document(
    pipeline: str, deployment: Deployment | None, models: list[ModelVersion], *, address: str
) -> dict[str, Any]:
    """The result of the reference's `pipeline.status()` (contract of its SDK).

    Args:
        pipeline: its name.
        deployment: None if it was never deployed.
        models: the model versions of the deployed pipeline version.
        address: where the gateway listens.
    """
    if deployment is None or deployment.wanted == "stopped":
        # The reference has no word for one that is stopping. `Starting` would keep a client that waits for `Running` waiting for ever.
        return {"status": f"Pipeline {pipeline} is not deployed"}
    status = deployment.status
    current = status.generation >= deployment.generation
    state = status.state if current else DeploymentState.STARTING
    shown = DeploymentState.STARTING if state is DeploymentState.STOPPED else state
    details = [] if status.fault is None or not current else [status.fault.message]
    reason = details[0] if details else None
    if details and status.serving is not None:
        details.append(f"pipeline version {status.serving} goes on answering")
    name = status.gateway or "gateway"
    return {
        "status": shown,
        "details": details,
        "engines": [
            {
                "ip": address,
                "name": name,
                "status": shown,
                "reason": reason,
                "details": details,
                "pipeline_statuses": {
                    "pipelines": [{"id": pipeline, "status": shown, "version": deployment.pipeline_version}]
                },
                "model_statuses": {
                    "models": [
                        {
                            "model_version_id": version.id,
                            "name": version.name,
                            "sha": version.sha,
                            "status": shown,
                            "version": version.uuid,
                        }
                        for version in models
                    ]
                },
            }
        ],
        "engine_lbs": [{"ip": address, "name": name, "status": shown, "reason": None, "details": []}],
        "sidekicks": [
            {
                "ip": address,
                "name": f"{worker.model}-{worker.id}",
                "status": worker.status,
                "reason": worker.reason,
                "details": [],
                "statuses": "\n",
            }
            for worker in status.workers
        ],
    }
