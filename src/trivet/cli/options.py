"""Options that several commands share, and their values."""

import shlex
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from trivet.domain.batching import BATCHINGS, Batching
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.network import NETWORKS, NetworkUse
from trivet.errors import Invalid

if TYPE_CHECKING:
    from trivet.domain.example_rows import Example
    from trivet.domain.package import ModelSettings

__all__ = [
    "BatchConfigOption",
    "ExampleOption",
    "FrameworkOption",
    "HomeOption",
    "InputSchemaOption",
    "NameOption",
    "NetworkOption",
    "OfflineOption",
    "OutputSchemaOption",
    "PathArgument",
    "PythonOption",
    "ResolveAsOfOption",
    "RuntimeOption",
    "TensorFieldsOption",
    "TimeoutOption",
    "TrustOption",
    "WheelsOption",
    "WorkersOption",
    "describe_example",
    "model_flags",
    "parse_date",
    "read_example",
]

MODEL = "The model"
ENVIRONMENT = "Its environment"

PathArgument = Annotated[
    Path, typer.Argument(metavar="PATH", help="A model file, a zip, or a folder.", show_default=False)
]
FrameworkOption = Annotated[
    Framework | None,
    typer.Option(
        metavar="NAME",
        help="The model's framework, such as 'onnx'; detected by default.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
InputSchemaOption = Annotated[
    str | None,
    typer.Option(
        metavar="SCHEMA",
        help="Schema of the input: 'images: int64[32,32,3]; name: string', or a .json, .yaml or .arrow file.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
OutputSchemaOption = Annotated[
    str | None,
    typer.Option(metavar="SCHEMA", help="Schema of the output, likewise.", rich_help_panel=MODEL, show_default=False),
]
ExampleOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Example rows: a .json, .jsonl, .csv, .parquet or .arrow file. They are tried before the model is ready, and where "
        "nothing else gives the input schema, it is made from them.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
TensorFieldsOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Column names for an ONNX model's inputs, in its order.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
BatchConfigOption = Annotated[
    str | None,
    typer.Option(
        metavar="single|whole|joined",
        help="What is a call of the model: a 'single' row, a 'whole' request, or 'joined' requests. By default requests are "
        "joined where that was proved not to change answers.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
NetworkOption = Annotated[
    str | None,
    typer.Option(
        metavar="full|none",
        help="Whether the model's code may use the network; TRIVET_WORKER_NETWORK=none refuses it to all.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
RuntimeOption = Annotated[
    Runtime | None,
    typer.Option(
        help="Where an ONNX model runs: 'native' in the gateway's process, or 'isolated' in workers. By default it is native "
        "if its graph was proved harmless.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(help="The model's name; by default its file's name.", rich_help_panel=MODEL, show_default=False),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, max=256, help="Worker processes.", rich_help_panel=MODEL, show_default="1"),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        metavar="SECONDS",
        help="Seconds within which a request gets an answer or an error.",
        rich_help_panel=MODEL,
        show_default="60",
    ),
]
PythonOption = Annotated[
    str | None,
    typer.Option(
        metavar="3.8", help="The Python version to run it with.", rich_help_panel=ENVIRONMENT, show_default=False
    ),
]
OfflineOption = Annotated[
    bool | None,
    typer.Option(
        "--offline", help="Fetch nothing: use what is cached.", rich_help_panel=ENVIRONMENT, show_default=False
    ),
]
WheelsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="Install from the wheels in this folder first.",
        rich_help_panel=ENVIRONMENT,
        show_default=False,
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Load a pickle or code that the check refuses: it runs in a worker.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
ResolveAsOfOption = Annotated[
    str | None,
    typer.Option(
        metavar="DATE",
        help="Ignore releases made after this day (2024-06-30).",
        rich_help_panel=ENVIRONMENT,
        show_default=False,
    ),
]
HomeOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of packages, environments and logs.", rich_help_panel=ENVIRONMENT, show_default="~/.trivet"
    ),
]


def model_flags(
    *,
    framework: Framework | None,
    input_schema: str | None,
    output_schema: str | None,
    tensor_fields: str | None,
    batch_config: str | None,
    network: str | None,
    runtime: Runtime | None,
    name: str | None,
    workers: int | None,
    timeout: float | None,
    python: str | None,
    trust: bool = False,
    example: "Example | None" = None,
) -> "ModelSettings":
    """What flags say about a model.

    Raises:
        Invalid: a schema, a batch config or a network is not valid.
    """
    from trivet.domain.package import ModelSettings
    from trivet.domain.schema import load_schema

    if batch_config is not None and batch_config not in BATCHINGS:
        raise Invalid(f"--batch-config is {batch_config!r}", fix="use single, whole or joined, or leave it out")
    if network is not None and network not in NETWORKS:
        raise Invalid(f"--network is {network!r}", fix="use full or none, or leave it out")
    fields = None if tensor_fields is None else tuple(name.strip() for name in tensor_fields.split(","))
    if fields is not None and (not all(fields) or len(set(fields)) != len(fields)):
        raise Invalid(f"--tensor-fields is {tensor_fields!r}", fix="give names separated by commas, each once")
    return ModelSettings(
        name=name,
        framework=framework,
        input_schema=None if input_schema is None else load_schema(input_schema, which="input"),
        output_schema=None if output_schema is None else load_schema(output_schema, which="output"),
        tensor_fields=fields,
        batch_config=cast("Batching | None", batch_config),
        network=cast("NetworkUse | None", network),
        trust=trust or None,
        runtime=runtime,
        python=python,
        workers=workers,
        timeout_s=timeout,
        suggested_schema=None if example is None else example.schema,
        example=() if example is None else example.rows,
    )


def read_example(path: Path | None) -> "Example | None":
    """What the file of `--example` shows; None if it was not given.

    Raises:
        NotFound, Unsupported, TooLarge, Invalid: it does not hold rows that suggest a schema.
    """
    if path is None:
        return None
    from trivet.domain.example_rows import example_of

    return example_of(path)


def describe_example(example: "Example", path: Path) -> str:
    """One line about example rows, with the schema in the form of a flag."""
    from trivet.domain.schema import format_schema

    rows = f"{example.total:,} row{'s' if example.total != 1 else ''}"
    kept = (
        "kept as examples" if len(example.rows) == example.total else f"the first {len(example.rows)} kept as examples"
    )
    return f"{path.name} has {rows}, {kept}; they fit --input-schema {shlex.quote(format_schema(example.schema))}"


def parse_date(text: str | None) -> date | None:
    """A day in ISO form.

    Raises:
        Invalid: it is not a day.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"--resolve-as-of is {text!r}", why=str(error), fix="give a day such as 2024-06-30") from error
