"""`trivet delete`, and the question before what cannot be undone."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from trivet.cli.models import find_version
from trivet.cli.output import print_json, show
from trivet.cli.platform_client import HomeOption, JsonOption, UrlOption, WorkspaceOption, connect
from trivet.errors import Invalid, visible

__all__ = ["Subject", "SubjectArgument", "YesOption", "confirm", "delete"]

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class Subject(StrEnum):
    """What a command is about."""

    MODEL = "model"
    PIPELINE = "pipeline"


SubjectArgument = Annotated[Subject, typer.Argument(metavar="model|pipeline", help="What it is.", show_default=False)]


def confirm(question: str, *, yes: bool) -> None:
    """Ask in a terminal. Elsewhere nothing is waited for: a script says `--yes`.

    Raises:
        Invalid: standard input is not a terminal.
        typer.Abort: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Invalid(f"this needs a confirmation: {question}", why="standard input is not a terminal", fix="add --yes")
    typer.confirm(visible(question), abort=True, err=True)


def delete(
    kind: SubjectArgument,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name; NAME@2 is one version of a model.", show_default=False)
    ],
    yes: YesOption = False,
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a model with all its versions, one version of it, or a pipeline. Refused while it is deployed.

    Examples:

      trivet delete model churn@2

      trivet delete model churn --yes

      trivet delete pipeline churn
    """
    with connect(url, home, workspace) as client:
        if kind is Subject.PIPELINE:
            count = len(client.get_pipeline(name).document()["versions"])
            confirm(f"Delete pipeline {name} with {_counted(count)}?", yes=yes)
            client.delete_pipeline(name)
        elif "@" in name:
            version = find_version(client, name)
            confirm(f"Delete {version.name()} version {version.number} ({version.version()})?", yes=yes)
            version.delete()
        else:
            count = len(client.get_model(name).versions())
            confirm(f"Delete model {name} with {_counted(count)}?", yes=yes)
            client.delete_model(name)
    if as_json:
        print_json({"deleted": name, "kind": kind})
    else:
        show(f"{name} is deleted.")


def _counted(versions: int) -> str:
    return f"{versions} {'version' if versions == 1 else 'versions'}"
