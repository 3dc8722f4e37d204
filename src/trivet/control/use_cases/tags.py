"""Use cases: tags of model versions and of pipelines."""

from trivet.control.context import Control
from trivet.domain.access import Action, Caller, check
from trivet.domain.tags import Tag, check_tag

__all__ = ["create_tag", "list_tags", "tag_pipeline", "tag_version", "untag_pipeline", "untag_version"]


def list_tags(control: Control, caller: Caller) -> list[Tag]:
    """All tags with what has them, the oldest first."""
    check(caller, Action.VIEW)
    return control.catalog.tags.all()


def create_tag(control: Control, caller: Caller, text: str) -> Tag:
    """A tag by its text, created if it is not there.

    Raises:
        Invalid: the text cannot be one.
        Conflict: there are too many tags.
    """
    check(caller, Action.CONFIGURE_MODEL)
    made = control.catalog.tags.create(check_tag(text))
    return next(each for each in control.catalog.tags.all() if each.id == made)


def tag_version(control: Control, caller: Caller, tag_id: int, version_id: int) -> None:
    """Tag a model version.

    Raises:
        NotFound: there is no such tag or version.
        Conflict: it has too many tags.
    """
    check(caller, Action.CONFIGURE_MODEL)
    version = control.catalog.models.version(version_id)
    check(caller, Action.CONFIGURE_MODEL, version.workspace_id)
    control.catalog.tags.add_to_model(tag_id, version.id)


def untag_version(control: Control, caller: Caller, tag_id: int, version_id: int) -> None:
    """Take a tag from a model version.

    Raises:
        NotFound: there is no such version.
    """
    check(caller, Action.CONFIGURE_MODEL)
    version = control.catalog.models.version(version_id)
    check(caller, Action.CONFIGURE_MODEL, version.workspace_id)
    control.catalog.tags.remove_from_model(tag_id, version.id)


def tag_pipeline(control: Control, caller: Caller, tag_id: int, pipeline_id: int) -> None:
    """Tag a pipeline. The errors are those of `tag_version`."""
    check(caller, Action.CREATE_PIPELINE)
    pipeline = control.catalog.pipelines.by_id(pipeline_id)
    check(caller, Action.CREATE_PIPELINE, pipeline.workspace_id)
    control.catalog.tags.add_to_pipeline(tag_id, pipeline.id)


def untag_pipeline(control: Control, caller: Caller, tag_id: int, pipeline_id: int) -> None:
    """Take a tag from a pipeline.

    Raises:
        NotFound: there is no such pipeline.
    """
    check(caller, Action.CREATE_PIPELINE)
    pipeline = control.catalog.pipelines.by_id(pipeline_id)
    check(caller, Action.CREATE_PIPELINE, pipeline.workspace_id)
    control.catalog.tags.remove_from_pipeline(tag_id, pipeline.id)
