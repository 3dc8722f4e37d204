"""`trivet check`: whether a package will serve, without serving it."""

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

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
from trivet.errors import TrivetError
from trivet.settings import Settings, read_settings

if TYPE_CHECKING:
    from trivet.domain.package import Package
    from trivet.domain.version import LoadedModel

__all__ = ["check"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")]


class _Findings:
    """Findings, printed one by one, or all at the end as JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.steps: list[dict[str, Any]] = []

    def add(self, step: str, text: str, *, ok: bool = True) -> None:
        self.steps.append({"step": step, "ok": ok, "detail": text})
        if not self._as_json:
            show(f"{'ok  ' if ok else 'FAIL'} {step}: {text}")

    def close(self, error: TrivetError | None) -> None:
        ok = error is None and all(step["ok"] for step in self.steps)
        if not self._as_json:
            return
        report: dict[str, Any] = {"ok": ok, "steps": self.steps}
        if error is not None:
            report["error"] = {
                "reason": error.reason,
                "error": error.message,
                "path": error.path,
                "fix": error.fix,
            }
        show(json.dumps(report, indent=2))


def check(
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
    as_json: JsonOption = False,
) -> None:
    """Check a model package: do everything that serving does, except serve.

    Unpacks and inspects it, builds its environment, loads it, and sends it a test row and the tests of its trivet.yaml.
    The exit code is 0 when it will serve and 1 when it will not, or when it answers no row that was made up for it.

    Examples:

      trivet check model.zip --input-schema 'x: float32[4]' --output-schema 'y: float32'

      trivet check model/ --example rows.csv --output-schema 'y: float32'

      trivet check my_step/ --json
    """
    findings = _Findings(as_json=as_json)
    try:
        rows = read_example(example)
        if rows is not None and example is not None:
            findings.add("example", describe_example(rows, example))
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
        settings = read_settings(os.environ, home=home, offline=offline, wheels=wheels)
        import asyncio

        from trivet.loading.prepare import file_facts, prepare
        from trivet.wiring.log_lines import log_to_stderr

        log_to_stderr("%(levelname)s: %(message)s")
        with Reporter() as report:
            package, model = prepare(
                path, flags=flags, settings=settings, resolve_as_of=parse_date(resolve_as_of), report=report
            )
            count = len(package.manifest.files)
            findings.add(
                "package",
                f"{package.framework} model {model.settings.name!r}, {count} file{'s' if count != 1 else ''}, "
                f"sha256 {package.digest[:12]}",
            )
            for fact in file_facts(package):
                findings.add("file", fact)
            if model.environment is not None:
                findings.add("environment", f"Python {model.python_version}, {len(model.packages)} packages locked")
                for note in model.notes:
                    findings.add("environment", note)
            asyncio.run(_try(package, model, settings=settings, findings=findings, report=report))
    except TrivetError as error:
        findings.close(error)
        if as_json:
            raise typer.Exit(1) from None
        raise
    findings.close(None)
    failed = {step["step"] for step in findings.steps if not step["ok"]}
    if failed:
        what = "does not pass its own tests" if "test" in failed else "loads, but did not answer a row"
        show(f"the package {what}", to_stderr=True)
        raise typer.Exit(1)


async def _try(
    package: "Package", model: "LoadedModel", *, settings: Settings, findings: _Findings, report: Reporter
) -> None:
    from trivet.domain.schema import format_schema
    from trivet.domain.version import batching_of
    from trivet.wiring.native_proof import as_on_a_platform
    from trivet.wiring.standalone import refusal_of, run_tests, standalone

    workers = model.settings.workers or 1
    async with standalone(package, model, settings=settings, report=report, workers=workers) as pipeline:
        why = f": {model.not_harmless}" if model.not_harmless else ""
        findings.add("loaded", f"{pipeline.steps[0].runtime} runtime{why}")
        findings.add("takes", format_schema(pipeline.runner.input_schema))
        findings.add("answers", format_schema(pipeline.runner.output_schema))
        refusal = refusal_of(pipeline)
        if refusal is None:
            findings.add("answered", pipeline.probe.shown)
        else:
            findings.add("answered", f"no: {refusal.message}. To fix this: {refusal.fix}", ok=False)
        proved = await as_on_a_platform(package, model, pipeline, settings=settings, report=report)
        if proved.proof is not None:
            findings.add("on a platform", f"{proved.runtime} runtime: {proved.proof.reason}")
        batching, reason = batching_of(proved, None)
        findings.add("batching", f"{batching}: {reason}")
        for name, difference in await run_tests(pipeline.runner, model.settings.tests):
            findings.add("test", f"{name}: {difference or 'passed'}", ok=difference is None)
