"""Routes for models, their versions, and uploads."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from trivet.control.api import MOST_ID, ModelName, Workspace
from trivet.control.context import Control
from trivet.control.documents import config_document, model_document, version_document
from trivet.control.request_bodies import Configure, NewUpload
from trivet.control.use_cases import models, uploads
from trivet.domain.version import ModelVersion

__all__ = ["model_routes"]

Version = Annotated[str, Path(description="The version's UUID.")]


def model_routes(control: Control) -> APIRouter:
    """Below `/v1/models`, `/v1/uploads` and `/v1/versions`."""
    routes = APIRouter()

    @routes.get("/models")
    def list_models(workspace: Workspace = "default") -> dict[str, Any]:
        """The models of a workspace, each with its newest version."""
        found = control.catalog.workspaces.get(workspace)
        # What is made or deleted between the two questions is left out.
        known = {each.id: each for each in control.catalog.models.all(found.id)}
        return {
            "models": [
                {
                    **model_document(known[newest.model_id], workspace=found.name),
                    "newest": version_document(newest, workspace=found.name),
                }
                for newest in control.catalog.models.newest_versions(found.id)
                if newest.model_id in known
            ]
        }

    @routes.get("/models/{name}")
    def get_model(name: ModelName, workspace: Workspace = "default") -> dict[str, Any]:
        """A model with its versions, the newest first."""
        found = control.catalog.workspaces.get(workspace)
        model = control.catalog.models.get(found.id, name)
        versions = control.catalog.models.versions(found.id, name)
        said = model_document(model, workspace=found.name)
        return {**said, "version_list": [version_document(each, workspace=found.name) for each in versions]}

    @routes.delete("/models/{name}")
    def delete_model(name: ModelName, workspace: Workspace = "default") -> dict[str, Any]:
        """Delete a model with all its versions. Refused while a deployment uses one."""
        models.delete_model(control, workspace=workspace, name=name)
        return {"deleted": name}

    @routes.get("/models/{name}/versions")
    def list_versions(name: ModelName, workspace: Workspace = "default") -> dict[str, Any]:
        """A model's versions, the newest first."""
        found = control.catalog.workspaces.get(workspace)
        versions = control.catalog.models.versions(found.id, name)
        return {"versions": [version_document(each, workspace=found.name) for each in versions]}

    @routes.post("/uploads", status_code=201)
    def announce_upload(body: NewUpload) -> dict[str, Any]:
        """Say what a file is, before its bytes are sent: everything that can be checked is checked now."""
        upload = uploads.announce_upload(control, body)
        return {"id": upload.id, "url": f"/v1/uploads/{upload.id}/content", "uuid": upload.version_uuid}

    @routes.put("/uploads/{upload_id}/content", status_code=201)
    async def receive_upload(
        upload_id: Annotated[str, Path(description="The `id` that announcing it gave.")], request: Request
    ) -> dict[str, Any]:
        """The file's bytes, as they are. May be sent again if it breaks off, or if the answer does not come. Gives the new
        model version.
        """

        def take(pieces: Iterator[bytes]) -> dict[str, Any]:
            # Asked for first: once the version is there, nothing that may fail is left to do.
            workspace = uploads.workspace_of(control, upload_id)
            return version_document(uploads.receive_upload(control, upload_id, pieces), workspace=workspace)

        return await control.threads.feed(request, take)

    @routes.get("/versions/{uuid}")
    def get_version(uuid: Version) -> dict[str, Any]:
        """A model version: its status, what it takes and answers, and why it cannot be loaded if it cannot."""
        return _version(control, control.catalog.models.version(uuid))

    @routes.get("/versions/{uuid}/logs")
    def upload_logs(
        uuid: Version,
        after: Annotated[int, Query(ge=0, le=MOST_ID, description="The `id` of the last line that is known.")] = 0,
    ) -> dict[str, Any]:
        """What was said while the version was loaded, from a line on."""
        lines = control.catalog.journal.upload_logs(control.catalog.models.version(uuid).id, after=after)
        return {
            "lines": [
                {"id": line.id, "at": line.at.isoformat(), "level": line.level, "stage": line.stage, "text": line.text}
                for line in lines
            ]
        }

    @routes.post("/versions/{uuid}/configurations", status_code=201)
    def configure(uuid: Version, body: Configure) -> dict[str, Any]:
        """Add a configuration to a version. It is used by deploys that name it."""
        return config_document(models.configure(control, uuid, body))

    return routes


def _version(control: Control, version: ModelVersion) -> dict[str, Any]:
    return version_document(version, workspace=control.catalog.workspaces.get(version.workspace_id).name)
