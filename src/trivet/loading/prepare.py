"""Turns a path into a checked package and its environment, without running the package."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa

from trivet.domain.environment import EnvironmentSpec
from trivet.domain.frameworks import FRAMEWORKS, Facts, Runtime
from trivet.domain.names import check_name
from trivet.domain.package import ModelSettings, Package
from trivet.domain.schema import check_schema
from trivet.domain.version import LoadedModel
from trivet.envs import EnvironmentStore, packages_of
from trivet.errors import BadPackage, Internal, Invalid
from trivet.packaging import merge_settings, open_package
from trivet.settings import Settings, process_environ

__all__ = ["Report", "environment_store", "prepare", "required_schema"]


class Report(Protocol):
    """Receives progress: a stage, a detail, and counts."""

    def __call__(self, stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
        """Report progress."""


NOT_OPENED: Final = pa.schema([])
"""Stands for the schemas of a native model that was not opened yet; its file has them."""


def environment_store(settings: Settings) -> EnvironmentStore:
    """The environments below the home."""
    return EnvironmentStore(settings.home / "envs", environ=process_environ(), source_builds=settings.source_builds)


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
    report("inspecting", file_name or path.name)
    package = open_package(
        path,
        store=settings.home / "packages",
        file_name=file_name,
        settings=flags,
        report=lambda text: report("inspecting", text),
    )
    model = merge_settings(flags=flags, own=package.settings)
    model = replace(model, name=check_name(model.name) if model.name else package.name)
    facts, contents = FRAMEWORKS[package.framework], package.contents
    if not facts.tensor_fields:
        _refuse_idle({"tensor_fields": model.tensor_fields}, why=f"{facts.title} has no tensors to rename")
    if facts.first_try is Runtime.NATIVE:
        _refuse_idle({"python": model.python, "workers": model.workers}, why=f"{facts.title} runs in this process")
        return package, LoadedModel(
            runtime=Runtime.NATIVE,
            files=dict(contents.files),
            settings=model,
            input_schema=NOT_OPENED,
            output_schema=NOT_OPENED,
        )
    if facts.adapter is None:
        raise Internal(f"{package.framework} models have no adapter")
    input_schema = required_schema(model.input_schema or contents.input_schema, "input", facts)
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
            fix=f"give --{which}-schema 'field: float32[29]; other: string', or {which}_schema in trivet.yaml",
        )
    check_schema(schema, which=which)
    return schema
