"""`trivet upload` and `trivet models`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivet.cli.options import (
    BatchConfigOption,
    ExampleOption,
    FrameworkOption,
    InputSchemaOption,
    NetworkOption,
    OutputSchemaOption,
    PythonOption,
    RuntimeOption,
    TensorFieldsOption,
    TrustOption,
    describe_example,
    model_flags,
    read_example,
)
from trivet.cli.output import print_json, print_table, show
from trivet.cli.platform_client import (
    MOST_S,
    HomeOption,
    JsonOption,
    UrlOption,
    WorkspaceOption,
    connect,
)
from trivet.errors import NotFound

if TYPE_CHECKING:
    from trivet.sdk.client import Client
    from trivet.sdk.model import ModelVersion

__all__ = ["find_version", "models", "upload"]

SMALL = 8 * 2**20


class _Bar:
    """A progress bar for the upload of a large file, in a terminal."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._task: Any = None

    def __call__(self, sent: int, size: int) -> None:
        if size < SMALL or not sys.stderr.isatty():
            return
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

            self._progress = Progress(
                "sending", BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=Console(stderr=True)
            )
            self._progress.start()
            self._task = self._progress.add_task("sending", total=size)
        self._progress.update(self._task, completed=sent)
        if sent >= size:
            self.close()

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def upload(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The model's name: lower-case letters, digits and dashes.")
    ],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A model file, a zip, or a folder.")],
    framework: FrameworkOption = None,
    input_schema: InputSchemaOption = None,
    output_schema: OutputSchemaOption = None,
    example: ExampleOption = None,
    tensor_fields: TensorFieldsOption = None,
    batch_config: BatchConfigOption = None,
    network: NetworkOption = None,
    runtime: RuntimeOption = None,
    python: PythonOption = None,
    trust: TrustOption = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is loaded.")] = True,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=MOST_S, metavar="SECONDS", help="Seconds to wait at most.")
    ] = 600.0,
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload a model to the platform: a new one, or a new version of the one with this name.

    It is ready after it was loaded in its own environment and answered a row.

    Examples:

      trivet upload ccfraud ccfraud.onnx --tensor-fields tensor

      trivet upload clustering vgg.zip --input-schema 'images: int64[32,32,3]' --output-schema 'predictions: int64'

      trivet upload features my_step/       (a folder with a trivet.yaml needs no flags)
    """
    from trivet.domain.schema import format_schema

    flags = model_flags(
        framework=framework,
        input_schema=input_schema,
        output_schema=output_schema,
        tensor_fields=tensor_fields,
        batch_config=batch_config,
        network=network,
        runtime=runtime,
        name=None,
        workers=None,
        timeout=None,
        python=python,
        trust=trust,
    )
    configured = flags.tensor_fields or flags.batch_config or flags.runtime
    if not wait and configured:
        raise typer.BadParameter(
            "--tensor-fields, --batch-config and --runtime are set after a model is loaded", param_hint="--no-wait"
        )
    rows = read_example(example)
    if rows is not None and example is not None:
        show(describe_example(rows, example), to_stderr=True)
    bar = _Bar()
    with connect(url, home, workspace, quiet=False) as client:
        try:
            version = client.upload_model(
                name,
                path,
                framework=flags.framework,
                # A schema of a text or a file is typed: `?` means what it says.
                input_schema=flags.input_schema and format_schema(flags.input_schema),
                output_schema=flags.output_schema,
                example=rows,
                python=python,
                network=flags.network,
                trust=trust,
                convert_wait=wait,
                timeout=timeout,
                progress=bar,
            )
        finally:
            bar.close()
        if wait and version.document()["status"] == "error":
            if as_json:
                print_json(version.document())
            show(f"Log of its loading: trivet models {name} --logs", to_stderr=True)
            sys.exit(1)
        if wait and configured:
            version = version.configure(
                runtime=flags.runtime,
                tensor_fields=list(flags.tensor_fields) if flags.tensor_fields else None,
                batch_config=flags.batch_config,
            )
        if as_json:
            print_json(version.document())
        else:
            show(f"{version.name()} version {version.number}: {version.version()}")


def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this model's versions.")] = None,
    logs: Annotated[bool, typer.Option("--logs", help="Show the log of the newest version's loading.")] = False,
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List models, or one model's versions.

    Examples:

      trivet models

      trivet models ccfraud

      trivet models ccfraud --logs
    """
    if name is None and logs:
        raise typer.BadParameter("give the model's name", param_hint="NAME")
    with connect(url, home, workspace) as client:
        if name is not None and logs:
            show(client.get_model(name).get_upload_logs())
            return
        found = client.list_models() if name is None else client.get_model(name).versions()
        if as_json:
            print_json([each.document() for each in found])
            return
        print_table(
            ("name", "version", "uuid", "status", "framework", "runs", "batching", "takes", "answers"),
            [
                (
                    each.name(),
                    each.number,
                    each.version(),
                    each.document()["status"],
                    each.framework(),
                    each.document()["where"] or "",
                    each.document().get("batching") or "",
                    each.document()["input_schema_text"] or "",
                    each.document()["output_schema_text"] or "",
                )
                for each in found
            ],
            empty="(no models)",
        )
        for each in found:
            if name is not None and (each.document()["where"], each.document()["runtime"]) == ("isolated", "onnx"):
                show(f"version {each.number} runs in workers: {each.document()['where_why']}", to_stderr=True)
            if name is not None and each.document().get("batching") == "whole":
                reason = each.document().get("batching_reason")
                show(f"version {each.number}: requests do not share calls: {reason}", to_stderr=True)
            if name is not None and each.error_summary() is not None:
                show(f"version {each.number}: {each.error_summary()}", to_stderr=True)
                if fix := (each.document()["fault"] or {}).get("fix"):
                    show(f"  fix {fix}", to_stderr=True)


def find_version(client: "Client", given: str) -> "ModelVersion":
    """A model version, of `ccfraud`, `ccfraud@3` or `ccfraud@<uuid>`. The name alone is the newest version that is ready; if none
    is, the newest.

    Raises:
        NotFound: it does not exist.
    """
    name, at, which = given.partition("@")
    newest = client.get_model(name)
    if not at and newest.document()["status"] == "ready":
        return newest
    versions = newest.versions()
    if not at:
        found = next((each for each in versions if each.document()["status"] == "ready"), newest)
        if found.number != newest.number:
            status = newest.document()["status"]
            show(f"{name} is {name}@{found.number}: {name}@{newest.number} is not ready ({status})", to_stderr=True)
        return found
    for each in versions:
        if which in (str(each.number), each.version()):
            return each
    known = ", ".join(f"{name}@{each.number}" for each in versions)
    raise NotFound(f"model {name!r} has no version {which!r}", fix=f"there are {known}")
