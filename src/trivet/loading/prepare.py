"""Turns a path into a checked package and its environment, without running the package."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from trivet.domain.environment import EnvironmentSpec
from trivet.domain.frameworks import FRAMEWORKS, Facts, Framework, Runtime
from trivet.domain.names import check_name
from trivet.domain.package import ModelSettings, Package
from trivet.domain.runtimes import only_in_workers, runtime_of
from trivet.domain.schema import check_schema
from trivet.domain.version import LoadedModel
from trivet.envs import packages_of
from trivet.errors import BadPackage, Internal, Invalid
from trivet.loading.environments import Report, environment_store
from trivet.loading.runtimes import examined, in_workers
from trivet.loading.steps import Identity, native_step
from trivet.packaging import merge_settings, onnx_facts, open_package
from trivet.settings import Settings

__all__ = ["file_facts", "opened", "prepare", "required_schema"]


NOT_OPENED: Final = pa.schema([])
"""Stands for the schemas of a native model that was not opened yet; its file has them."""


def prepare(
    path: Path,
    *,
    flags: ModelSettings,
    settings: Settings,
    resolve_as_of: date | None,
    report: Report,
    file_name: str | None = None,
) -> tuple[Package, LoadedModel]:
    """Check a package and build its environment, without running the package.

    Args:
        path: a file or a folder.
        flags: settings that override the package's own.
        settings: the home, and how environments are built.
        resolve_as_of: ignore releases made after this day.
        report: receives progress.
        file_name: the owner's name of the file, if the path has another.

    Returns:
        The package, and the model as the catalog stores it, without what only a run shows: whether it answers its canned
        row, and the schemas of a native model. Its settings have its name.

    Raises:
        BadPackage, BadEnvironment, Invalid, TooLarge: the package or a flag is wrong.
    """
    package, model = opened(path, flags=flags, settings=settings, report=report, file_name=file_name)
    facts, contents = FRAMEWORKS[package.framework], package.contents
    if facts.first_try is Runtime.NATIVE:
        return package, _session(package, model, settings=settings, report=report)
    if facts.adapter is None:
        raise Internal(f"{package.framework} models have no adapter")
    given = model.input_schema or contents.input_schema or model.suggested_schema
    input_schema = required_schema(given, "input", facts)
    output_schema = required_schema(model.output_schema or contents.output_schema, "output", facts)
    environment = environment_store(settings).ensure(
        EnvironmentSpec(requirements=contents.requirements, python=model.python, resolve_as_of=resolve_as_of),
        offline=settings.offline,
        wheels=settings.wheels,
        report=report,
    )
    return package, LoadedModel(
        runtime=Runtime.ISOLATED,
        adapter=facts.adapter,
        entry=dict(contents.entry),
        files=dict(contents.files),
        settings=model,
        input_schema=input_schema,
        output_schema=output_schema,
        environment=environment.digest,
        requirements=contents.requirements,
        packages=packages_of(environment.lock),
        python_version=environment.python_version,
        notes=environment.notes,
    )


def opened(
    path: Path, *, flags: ModelSettings, settings: Settings, report: Report, file_name: str | None = None
) -> tuple[Package, ModelSettings]:
    """A checked package, and its settings with its name. The arguments are those of `prepare`.

    Raises:
        BadPackage, Invalid, TooLarge: the package or a flag is wrong.
    """
    report("inspecting", file_name or path.name)
    package = open_package(
        path,
        store=settings.home / "packages",
        file_name=file_name,
        settings=flags,
        requirements_required=settings.requirements_required,
        report=lambda text: report("inspecting", text),
    )
    model = merge_settings(flags=flags, own=package.settings)
    model = replace(model, name=check_name(model.name) if model.name else package.name)
    facts = FRAMEWORKS[package.framework]
    if not facts.tensor_fields:
        _refuse_idle({"tensor_fields": model.tensor_fields}, why=f"{facts.title} has no tensors to rename")
    if facts.first_try is not Runtime.NATIVE and model.runtime is Runtime.NATIVE and facts.conversion is None:
        raise only_in_workers(facts.title)
    return package, model


def file_facts(package: Package) -> tuple[str, ...]:
    """What the model's file says about itself, and what its owner should know of it, such as a safer form."""
    if package.framework is Framework.ONNX:
        return onnx_facts(package.root / package.contents.files["model"])
    contents = package.contents
    return (*contents.facts, *(contents.notes if FRAMEWORKS[package.framework].sent_as == "file" else ()))


def _session(package: Package, flags: ModelSettings, *, settings: Settings, report: Report) -> LoadedModel:
    """A model that an ONNX session answers, in the gateway's process or in workers."""
    title = FRAMEWORKS[package.framework].title
    model = examined(
        LoadedModel(
            runtime=Runtime.NATIVE,
            files=dict(package.contents.files),
            settings=flags,
            input_schema=NOT_OPENED,
            output_schema=NOT_OPENED,
        ),
        root=package.root,
    )
    _refuse_idle({"python": flags.python}, why=f"{title} runs with the Python of this installation")
    if runtime_of(model, flags.runtime, trust_native=settings.trust_native) is Runtime.NATIVE:
        _refuse_idle({"workers": flags.workers}, why=f"{title} runs in this process")
        return model
    if model.not_harmless is not None:
        report("inspecting", f"the model runs in workers: {model.not_harmless}")
    identity = Identity(flags.name or package.name, package.digest, 0, package.digest, package.framework.value)
    step = native_step(identity, model, None, root=package.root)
    return in_workers(model, step, settings=settings, report=report)


def _refuse_idle(options: Mapping[str, Any], *, why: str) -> None:
    for option, value in options.items():
        if value is not None:
            raise Invalid(f"{option} has no effect on this model", why=why, fix=f"leave {option} out")


def required_schema(schema: pa.Schema | None, which: str, facts: Facts) -> pa.Schema:
    """The schema of a model that is not native, as its owner or its file says it.

    Args:
        schema: None if neither says it.
        which: `input` or `output`.
        facts: of its framework.

    Raises:
        Invalid: the owner must give it.
        BadPackage: the model's file must say it.
    """
    if schema is None and facts.schemas == "own":
        raise BadPackage(
            f"{facts.title} without an {which} schema cannot be loaded",
            why="its file does not say the schema",
            fix=f"save the model with its schema, or give --{which}-schema 'field: float32[29]; other: string'",
            reason="no_schema",
        )
    if schema is None:
        raise Invalid(
            f"{facts.title} needs an {which} schema",
            why="its code does not declare its schemas",
            fix=f"give --{which}-schema 'field: float32[29]; other: string', or {which}_schema in trivet.yaml"
            + ("; or --example with a file of rows" if which == "input" else ""),
        )
    check_schema(schema, which=which)
    return schema
