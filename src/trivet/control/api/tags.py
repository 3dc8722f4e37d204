"""Routes: tags."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from trivet.control.api import MOST_ID
from trivet.control.context import Control
from trivet.control.http.access import CurrentCaller
from trivet.control.request_bodies import NewTag
from trivet.control.use_cases import tags
from trivet.domain.tags import Tag

__all__ = ["tag_routes"]

TagId = Annotated[int, Path(ge=1, le=MOST_ID, description="The tag's id.")]
VersionId = Annotated[int, Path(ge=1, le=MOST_ID, description="The model version's id.")]
PipelineId = Annotated[int, Path(ge=1, le=MOST_ID, description="The pipeline's id.")]


def tag_routes(control: Control) -> APIRouter:
    """Below `/v1/tags`."""
    routes = APIRouter()

    @routes.get("/tags")
    def list_tags(caller: CurrentCaller) -> dict[str, Any]:
        """All tags, with the model versions and pipelines that have them."""
        return {"tags": [_document(each) for each in tags.list_tags(control, caller)]}

    @routes.post("/tags", status_code=201)
    def create_tag(caller: CurrentCaller, body: NewTag) -> dict[str, Any]:
        """A tag by its text, created if it is not there."""
        return _document(tags.create_tag(control, caller, body.tag))

    @routes.put("/tags/{tag_id}/models/{version_id}")
    def tag_version(caller: CurrentCaller, tag_id: TagId, version_id: VersionId) -> dict[str, Any]:
        """Tag a model version."""
        tags.tag_version(control, caller, tag_id, version_id)
        return {"tag_id": tag_id, "version_id": version_id}

    @routes.delete("/tags/{tag_id}/models/{version_id}")
    def untag_version(caller: CurrentCaller, tag_id: TagId, version_id: VersionId) -> dict[str, Any]:
        """Take a tag from a model version."""
        tags.untag_version(control, caller, tag_id, version_id)
        return {"tag_id": tag_id, "version_id": version_id}

    @routes.put("/tags/{tag_id}/pipelines/{pipeline_id}")
    def tag_pipeline(caller: CurrentCaller, tag_id: TagId, pipeline_id: PipelineId) -> dict[str, Any]:
        """Tag a pipeline."""
        tags.tag_pipeline(control, caller, tag_id, pipeline_id)
        return {"tag_id": tag_id, "pipeline_id": pipeline_id}

    @routes.delete("/tags/{tag_id}/pipelines/{pipeline_id}")
    def untag_pipeline(caller: CurrentCaller, tag_id: TagId, pipeline_id: PipelineId) -> dict[str, Any]:
        """Take a tag from a pipeline."""
        tags.untag_pipeline(control, caller, tag_id, pipeline_id)
        return {"tag_id": tag_id, "pipeline_id": pipeline_id}

    return routes


def _document(tag: Tag) -> dict[str, Any]:
    return {
        "id": tag.id,
        "tag": tag.tag,
        "models": [{"id": each.id, "name": each.name, "uuid": each.uuid} for each in tag.models],
        "pipelines": [{"id": each.id, "name": each.name} for each in tag.pipelines],
    }
