"""Routes for models, their versions, and uploads."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from trivet.control.api import MOST_ID, ModelName, Workspace
from trivet.control.context import Control
from trivet.control.documents import config_document, model_document, version_document
from trivet.control.http.access import CurrentCaller
from trivet.control.request_bodies import Configure, NewUpload
from trivet.control.use_cases import models, uploads
from trivet.control.use_cases.runtime_logs import runtime_log

__all__ = ["model_routes"]

MOST_LINES = 10_000
Version = Annotated[str, Path(description="The version's UUID.")]


def model_routes(control: Control) -> APIRouter:
    """Below `/v1/models`, `/v1/uploads` and `/v1/versions`."""
    routes = APIRouter()

    @routes.get("/models")
    def list_models(caller: CurrentCaller, workspace: Workspace = "default") -> dict[str, Any]:
        """The models of a workspace, each with its newest version."""
        found, listed = models.list_models(control, caller, workspace=workspace)
        return {
            "models": [
                {
                    **model_document(model, workspace=found.name),
                    "newest": version_document(newest, workspace=found.name),
                }
                for model, newest in listed
            ]
        }

    @routes.get("/models/{name}")
    def get_model(caller: CurrentCaller, name: ModelName, workspace: Workspace = "default") -> dict[str, Any]:
        """A model with its versions, the newest first."""
        found, model, versions = models.get_model(control, caller, workspace=workspace, name=name)
        document = model_document(model, workspace=found.name)
        return {**document, "version_list": [version_document(each, workspace=found.name) for each in versions]}

    @routes.delete("/models/{name}")
    def delete_model(caller: CurrentCaller, name: ModelName, workspace: Workspace = "default") -> dict[str, Any]:
        """Delete a model with all its versions. Refused while a deployment uses one."""
        models.delete_model(control, caller, workspace=workspace, name=name)
        return {"deleted": name}

    @routes.get("/models/{name}/versions")
    def list_versions(caller: CurrentCaller, name: ModelName, workspace: Workspace = "default") -> dict[str, Any]:
        """A model's versions, the newest first."""
        found, _, versions = models.get_model(control, caller, workspace=workspace, name=name)
        return {"versions": [version_document(each, workspace=found.name) for each in versions]}

    @routes.post("/uploads", status_code=201)
    def announce_upload(caller: CurrentCaller, body: NewUpload) -> dict[str, Any]:
        """Announce a file, before its bytes are sent: everything that can be checked is checked now."""
        upload = uploads.announce_upload(control, caller, body)
        return {"id": upload.id, "url": f"/v1/uploads/{upload.id}/content", "uuid": upload.version_uuid}

    @routes.put("/uploads/{upload_id}/content", status_code=201)
    async def receive_upload(
        caller: CurrentCaller,
        upload_id: Annotated[str, Path(description="The `id` that announcing it gave.")],
        request: Request,
    ) -> dict[str, Any]:
        """Send the file's bytes. Send them again if the connection breaks, or if the answer does not arrive. The answer is the new
        model version.
        """

        def take(pieces: Iterator[bytes]) -> dict[str, Any]:
            version, workspace = uploads.receive_upload(control, caller, upload_id, pieces)
            return version_document(version, workspace=workspace.name)

        return await control.threads.feed(request, take)

    @routes.get("/versions/{uuid}")
    def get_version(caller: CurrentCaller, uuid: Version) -> dict[str, Any]:
        """A model version: its status, its schemas, and the error if it failed to load."""
        version, workspace = models.get_version(control, caller, uuid)
        return version_document(version, workspace=workspace.name)

    @routes.delete("/versions/{uuid}")
    def delete_version(caller: CurrentCaller, uuid: Version) -> dict[str, Any]:
        """Delete a version; the model too, if it has no other one. Refused while a deployment uses it."""
        return {"deleted": models.delete_version(control, caller, uuid).uuid}

    @routes.get("/versions/{uuid}/logs")
    def upload_logs(
        caller: CurrentCaller,
        uuid: Version,
        after: Annotated[int, Query(ge=0, le=MOST_ID, description="The `id` of the last known line.")] = 0,
    ) -> dict[str, Any]:
        """The log of a version's loading, from a line on."""
        lines = models.list_upload_log(control, caller, uuid, after=after)
        return {
            "lines": [
                {"id": line.id, "at": line.at.isoformat(), "level": line.level, "stage": line.stage, "text": line.text}
                for line in lines
            ]
        }

    @routes.get("/versions/{uuid}/runtime-logs")
    def runtime_logs(
        caller: CurrentCaller,
        uuid: Version,
        limit: Annotated[int, Query(ge=1, le=MOST_LINES, description="Lines at most.")] = 200,
        since_s: Annotated[float | None, Query(ge=0, le=MOST_ID, description="Only lines of so many seconds.")] = None,
        after: Annotated[int | None, Query(ge=0, le=MOST_ID, description="The `end` of the answer before.")] = None,
        request_id: Annotated[
            str | None, Query(max_length=128, description="Only the tracebacks of this request.")
        ] = None,
    ) -> dict[str, Any]:
        """The last lines that the version's workers wrote, the oldest first: output, warnings, and the tracebacks of errors. Times
        are a few seconds exact.
        """
        found = runtime_log(control, caller, uuid, limit=limit, since_s=since_s, after=after, request_id=request_id)
        return {
            "lines": [{"at": None if at_s is None else _time(at_s), "text": text} for at_s, text in found.lines],
            "end": found.end,
            "note": found.note,
        }

    @routes.post("/versions/{uuid}/configurations", status_code=201)
    def configure(caller: CurrentCaller, uuid: Version, body: Configure) -> dict[str, Any]:
        """Add a configuration to a version. Deploys that name it use it."""
        return config_document(models.configure(control, caller, uuid, body))

    return routes


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
