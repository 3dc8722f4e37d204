"""`trivet check`: whether a package will serve, without serving it."""

import json
import os
import sys
from typing import Annotated, Any

import typer

from trivet.cli.options import (
    BatchConfigOption,
    FrameworkOption,
    HomeOption,
    InputSchemaOption,
    NameOption,
    OfflineOption,
    OutputSchemaOption,
    PathArgument,
    PythonOption,
    ResolveAsOfOption,
    TensorFieldsOption,
    TimeoutOption,
    WheelsOption,
    WorkersOption,
    model_flags,
    parse_date,
)
from trivet.cli.reporter import Reporter
from trivet.errors import TrivetError
from trivet.settings import Settings, read_settings

__all__ = ["check"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")]


class _Findings:
    """What was found, printed as it comes or all at once as JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.steps: list[dict[str, Any]] = []

    def add(self, step: str, text: str, *, ok: bool = True) -> None:
        self.steps.append({"step": step, "ok": ok, "detail": text})
        if not self._as_json:
            print(f"{'ok  ' if ok else 'FAIL'} {step}: {text}", flush=True)

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
        print(json.dumps(report, indent=2))


def check(
    path: PathArgument,
    framework: FrameworkOption = None,
    input_schema: InputSchemaOption = None,
    output_schema: OutputSchemaOption = None,
    tensor_fields: TensorFieldsOption = None,
    batch_config: BatchConfigOption = None,
    name: NameOption = None,
    workers: WorkersOption = None,
    timeout: TimeoutOption = None,
    python: PythonOption = None,
    offline: OfflineOption = None,
    wheels: WheelsOption = None,
    resolve_as_of: ResolveAsOfOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a model package: everything that serving does, but serving.

    Unpacks and inspects it, builds its environment, loads it, has it answer a canned row and the tests of its trivet.yaml.
    The exit code is 0 when it will serve and 1 when it will not.

    Examples:

      trivet check model.zip --input-schema 'x: float32[4]' --output-schema 'y: float32'

      trivet check my_step/ --json
    """
    findings = _Findings(as_json=as_json)
    try:
        flags = model_flags(
            framework=framework,
            input_schema=input_schema,
            output_schema=output_schema,
            tensor_fields=tensor_fields,
            batch_config=batch_config,
            name=name,
            workers=workers,
            timeout=timeout,
            python=python,
        )
        settings = read_settings(os.environ, home=home, offline=offline, wheels=wheels)
        import asyncio

        from trivet.loading.prepare import Isolated, prepare

        with Reporter() as report:
            prepared = prepare(
                path, flags=flags, settings=settings, resolve_as_of=parse_date(resolve_as_of), report=report
            )
            package = prepared.package
            count = len(package.manifest.files)
            findings.add(
                "package",
                f"{package.framework} model {prepared.name!r}, {count} file{'s' if count != 1 else ''}, "
                f"sha256 {package.digest[:12]}",
            )
            if isinstance(prepared, Isolated):
                environment = prepared.environment
                packages = sum("==" in line and not line[:1].isspace() for line in environment.lock.splitlines())
                findings.add("environment", f"Python {environment.python_version}, {packages} packages locked")
                for note in environment.notes:
                    findings.add("environment", note)
            asyncio.run(_try(prepared, settings=settings, findings=findings, report=report))
    except TrivetError as error:
        findings.close(error)
        if as_json:
            raise typer.Exit(1) from None
        raise
    findings.close(None)
    if not all(step["ok"] for step in findings.steps):
        print("the package does not pass its own tests", file=sys.stderr)
        raise typer.Exit(1)


async def _try(prepared: Any, *, settings: Settings, findings: _Findings, report: Reporter) -> None:
    from trivet.domain.schema import format_schema
    from trivet.wiring.running import run_tests, running

    async with running(prepared, settings=settings, report=report) as served:
        findings.add("loaded", f"{served.runtime} runtime")
        findings.add("takes", format_schema(served.runner.input_schema))
        findings.add("answers", format_schema(served.runner.output_schema))
        refusal = await served.probe.refusal()
        if refusal is None:
            findings.add("answered", served.probe.shown)
        else:
            findings.add("reached", f"it refuses {served.probe.shown}, which may be right")
        for name, difference in await run_tests(served, prepared.model.tests):
            findings.add("test", f"{name}: {difference or 'passed'}", ok=difference is None)
