"""From a path to a checked package and the environment that it needs. Nothing of the package runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.domain.frameworks import FRAMEWORKS, Facts, Runtime
from trivet.domain.names import check_name
from trivet.domain.package import Contents, EntryPoint, ModelSettings, Package
from trivet.domain.schema import check_schema
from trivet.envs import EnvironmentStore
from trivet.errors import Internal, Invalid
from trivet.packaging import merge_settings, open_package
from trivet.settings import Settings, process_environ

__all__ = ["Isolated", "Native", "Prepared", "Report", "environment_store", "prepare"]


class Report(Protocol):
    """Told what is going on: a stage, a detail, how much of how much."""

    def __call__(self, stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
        """Say where the work is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Native:
    """A package that runs in this process."""

    package: Package
    model: ModelSettings
    name: str
    contents: Contents


@dataclass(frozen=True, kw_only=True, slots=True)
class Isolated:
    """A package that runs in workers, and the environment that they run in."""

    package: Package
    model: ModelSettings
    name: str
    contents: Contents
    input_schema: pa.Schema
    output_schema: pa.Schema
    environment: Environment

    @property
    def adapter(self) -> str:
        """How a worker loads it."""
        adapter = FRAMEWORKS[self.package.framework].adapter
        if adapter is None:
            raise Internal(f"{self.package.framework} models have no adapter")
        return adapter

    @property
    def entry(self) -> Mapping[str, EntryPoint]:
        """What a worker loads, by role."""
        return self.contents.entry


Prepared: TypeAlias = Native | Isolated


def environment_store(settings: Settings) -> EnvironmentStore:
    """The environments below the home."""
    return EnvironmentStore(settings.home / "envs", environ=process_environ())


def prepare(
    path: Path,
    *,
    flags: ModelSettings,
    settings: Settings,
    resolve_as_of: date | None,
    report: Report,
    file_name: str | None = None,
) -> Prepared:
    """Check a package and build what it needs. Nothing of it runs.

    Args:
        path: a file or a folder.
        flags: what was said beside the package; it goes before what the package says itself.
        settings: the home, and how environments are built.
        resolve_as_of: ignore releases made after this day.
        report: told what is going on.
        file_name: what its owner calls the file, where the path is another one.

    Raises:
        BadPackage, BadEnvironment, Invalid, TooLarge: what is wrong with it, or with the flags.
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
    name = check_name(model.name) if model.name else package.name
    facts, contents = FRAMEWORKS[package.framework], package.contents
    if not facts.tensor_fields:
        _refuse_idle({"tensor_fields": model.tensor_fields}, why="only ONNX models have tensors to rename")
    if facts.first_try is Runtime.NATIVE:
        _refuse_idle({"python": model.python, "workers": model.workers}, why=f"{facts.title} runs in this process")
        return Native(package=package, model=model, name=name, contents=contents)
    input_schema = _required_schema(model.input_schema or contents.input_schema, "input", facts)
    output_schema = _required_schema(model.output_schema or contents.output_schema, "output", facts)
    spec = EnvironmentSpec(requirements=contents.requirements, python=model.python, resolve_as_of=resolve_as_of)
    environment = environment_store(settings).ensure(
        spec, offline=settings.offline, wheels=settings.wheels, report=report
    )
    return Isolated(
        package=package,
        model=model,
        name=name,
        contents=contents,
        input_schema=input_schema,
        output_schema=output_schema,
        environment=environment,
    )


def _refuse_idle(options: Mapping[str, Any], *, why: str) -> None:
    for option, value in options.items():
        if value is not None:
            raise Invalid(f"{option} has no effect on this model", why=why, fix=f"leave {option} out")


def _required_schema(schema: pa.Schema | None, which: str, facts: Facts) -> pa.Schema:
    if schema is None:
        raise Invalid(
            f"{facts.title} needs an {which} schema",
            why="Python code does not say what it takes and answers",
            fix=f"give --{which}-schema 'field: float32[29]; other: string', or {which}_schema in trivet.yaml",
        )
    check_schema(schema, which=which)
    return schema
