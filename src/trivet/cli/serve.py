"""`trivet serve`: serves one model package over HTTP."""

import contextlib
import os
from typing import Annotated

import typer

from trivet.cli.options import (
    BatchConfigOption,
    ExampleOption,
    FrameworkOption,
    HomeOption,
    InputSchemaOption,
    NameOption,
    NetworkOption,
    OfflineOption,
    OutputSchemaOption,
    PathArgument,
    PythonOption,
    ResolveAsOfOption,
    RuntimeOption,
    TensorFieldsOption,
    TimeoutOption,
    TrustOption,
    WheelsOption,
    WorkersOption,
    describe_example,
    model_flags,
    parse_date,
    read_example,
)
from trivet.cli.output import show
from trivet.cli.reporter import Reporter
from trivet.settings import read_settings
from trivet.wiring.listening import is_loopback, listening
from trivet.wiring.log_lines import log_to_stderr

__all__ = ["serve"]

SERVER = "The server"

HostOption = Annotated[str, typer.Option(help="Address to listen on; loopback by default.", rich_help_panel=SERVER)]
PortOption = Annotated[
    int, typer.Option("--http-port", min=0, max=65535, help="Port; 0 picks a free one.", rich_help_panel=SERVER)
]
MaxBodyOption = Annotated[
    float | None,
    typer.Option(
        "--max-body",
        min=0.001,
        metavar="MIB",
        help="Largest request, in MiB.",
        rich_help_panel=SERVER,
        show_default="256",
    ),
]

AccessLogOption = Annotated[
    bool | None,
    typer.Option(
        "--access-log",
        help="Write a JSON line for each request to logs/access.jsonl in the home.",
        rich_help_panel=SERVER,
        show_default=False,
    ),
]


def serve(
    path: PathArgument,
    framework: FrameworkOption = None,
    input_schema: InputSchemaOption = None,
    output_schema: OutputSchemaOption = None,
    example: ExampleOption = None,
    tensor_fields: TensorFieldsOption = None,
    batch_config: BatchConfigOption = None,
    network: NetworkOption = None,
    runtime: RuntimeOption = None,
    name: NameOption = None,
    workers: WorkersOption = None,
    timeout: TimeoutOption = None,
    python: PythonOption = None,
    trust: TrustOption = False,
    offline: OfflineOption = None,
    wheels: WheelsOption = None,
    resolve_as_of: ResolveAsOfOption = None,
    home: HomeOption = None,
    host: HostOption = "127.0.0.1",
    http_port: PortOption = 8080,
    max_body: MaxBodyOption = None,
    access_log: AccessLogOption = None,
) -> None:
    """Serve a model package over HTTP.

    Trivet checks it, builds its environment, loads it in its own worker (ONNX files run in the server), and sends it a test row.
    Then it prints `Ready: http://…` on stdout.

    Examples:

      trivet serve model.onnx --tensor-fields tensor

      trivet serve model.zip --input-schema 'images: int64[32,32,3]' --output-schema 'predictions: int64'

      trivet serve my_step/          (a folder with a trivet.yaml needs no flags)

      curl -X POST localhost:8080/infer -H 'Content-Type: application/json' -d '[{"tensor": [1.0, 2.0]}]'
    """
    rows = read_example(example)
    flags = model_flags(
        framework=framework,
        input_schema=input_schema,
        output_schema=output_schema,
        tensor_fields=tensor_fields,
        batch_config=batch_config,
        network=network,
        runtime=runtime,
        name=name,
        workers=workers,
        timeout=timeout,
        python=python,
        trust=trust,
        example=rows,
    )
    as_of = parse_date(resolve_as_of)
    settings = read_settings(
        os.environ,
        home=home,
        offline=offline,
        wheels=wheels,
        host=host,
        http_port=http_port,
        max_body_mib=max_body,
        access_log=access_log,
    )
    log_to_stderr("%(asctime)s %(levelname)s %(name)s: %(message)s")
    with contextlib.ExitStack() as stack:
        # Take the ports before any slow work, slow imports included.
        listeners = stack.enter_context(listening(settings, roles=["gateway"]))
        report = stack.enter_context(Reporter())
        if rows is not None and example is not None:
            report("example", describe_example(rows, example))
        if not all(map(is_loopback, listeners.values())):
            report(
                "warning", f"every client that reaches {host} can use this model: there is no login and no encryption"
            )
        from trivet.loading.prepare import prepare
        from trivet.wiring.serving import serve as serve_prepared

        package, model = prepare(path, flags=flags, settings=settings, resolve_as_of=as_of, report=report)
        for note in model.notes:
            report("note", note)

        def ready() -> None:
            report.done()
            shown = f"[{host}]" if ":" in host else host
            show(f"Ready: http://{shown}:{listeners['http'].getsockname()[1]}")

        serve_prepared(package, model, settings=settings, listeners=listeners, report=report, on_ready=ready)
