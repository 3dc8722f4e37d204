"""Use cases: workspaces."""

from trivet.control.context import Control
from trivet.domain.access import Action, Caller, check
from trivet.domain.names import check_workspace_name
from trivet.domain.version import Workspace

__all__ = ["create_workspace", "get_workspace", "list_workspaces", "list_workspaces_with_contents"]


def list_workspaces(control: Control, caller: Caller) -> list[Workspace]:
    """All workspaces, the oldest first."""
    check(caller, Action.VIEW)
    return control.catalog.workspaces.all()


def list_workspaces_with_contents(control: Control, caller: Caller) -> list[tuple[Workspace, list[int], list[int]]]:
    """All workspaces, each with the ids of its models and of its pipelines."""
    check(caller, Action.VIEW)
    return [
        (
            each,
            [model.id for model in control.catalog.models.all(each.id)],
            [pipeline.id for pipeline in control.catalog.pipelines.all(each.id)],
        )
        for each in control.catalog.workspaces.all()
    ]


def get_workspace(control: Control, caller: Caller, name: str) -> Workspace:
    """A workspace by its name.

    Raises:
        NotFound: there is no such workspace.
    """
    check(caller, Action.VIEW, name)
    return control.catalog.workspaces.get(name)


def create_workspace(control: Control, caller: Caller, name: str) -> Workspace:
    """Create a workspace.

    Raises:
        Invalid: the name cannot be one.
        Conflict: the name is taken.
    """
    check(caller, Action.CREATE_WORKSPACE, name)
    return control.catalog.workspaces.create(check_workspace_name(name), created_by=caller.name)
