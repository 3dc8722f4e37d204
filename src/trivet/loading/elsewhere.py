"""Versions that are built for another kind of machine: checked and resolved here, and not run."""

from pathlib import Path
from typing import Final

import msgspec

from trivet.domain.environment import EnvironmentSpec
from trivet.domain.fault import Fault
from trivet.domain.frameworks import FRAMEWORKS, Runtime
from trivet.domain.package import ModelSettings, Package
from trivet.domain.version import Architecture, LoadedModel
from trivet.engine.native.declared import declared_schemas
from trivet.envs import packages_of
from trivet.errors import Internal
from trivet.loading.environments import Report, environment_store
from trivet.loading.prepare import opened, required_schema
from trivet.settings import Settings

__all__ = ["check_elsewhere"]

PLATFORMS: Final = {
    Architecture.X86: "x86_64-manylinux_2_28",
    Architecture.ARM: "aarch64-manylinux_2_28",
}
"""uv's names of what environments are resolved for. It has none for others."""


def check_elsewhere(
    path: Path,
    *,
    arch: Architecture,
    refusal: Fault,
    flags: ModelSettings,
    settings: Settings,
    report: Report,
    file_name: str,
) -> LoadedModel:
    """Check a package, and resolve its environment for its own kind of machine. None of its code runs.

    Args:
        path: the uploaded file.
        arch: the processor that it is built for.
        refusal: why it is not tried.
        flags: settings that override the package's own.
        settings: the home, and how environments are resolved.
        report: receives progress.
        file_name: the owner's name of the file.

    Raises:
        BadPackage, BadEnvironment, Invalid, TooLarge: the package or a flag is wrong, or a requirement has no wheel for that
            machine.
    """
    package, model = opened(path, flags=flags, settings=settings, report=report, file_name=file_name)
    if FRAMEWORKS[package.framework].first_try is Runtime.NATIVE:
        loaded = _session(package, model, refusal=refusal)
    else:
        loaded = _isolated(package, model, arch=arch, refusal=refusal, settings=settings, report=report)
    report("warning", f"{refusal.message}. To fix this: {refusal.fix}")
    return loaded


def _session(package: Package, model: ModelSettings, *, refusal: Fault) -> LoadedModel:
    file = package.contents.files["model"]
    fields = model.tensor_fields
    if fields is None and model.input_schema is not None:
        fields = tuple(model.input_schema.names)
    inputs, outputs = declared_schemas(package.root / file, tensor_fields=fields, single=model.batch_config == "single")
    return LoadedModel(
        runtime=Runtime.NATIVE,
        files=dict(package.contents.files),
        settings=model,
        input_schema=inputs,
        output_schema=model.output_schema or outputs,
        refusal=refusal,
    )


def _isolated(
    package: Package, model: ModelSettings, *, arch: Architecture, refusal: Fault, settings: Settings, report: Report
) -> LoadedModel:
    facts, contents = FRAMEWORKS[package.framework], package.contents
    if facts.adapter is None:
        raise Internal(f"{package.framework} models have no adapter")
    given = model.input_schema or contents.input_schema or model.suggested_schema
    loaded = LoadedModel(
        runtime=Runtime.ISOLATED,
        adapter=facts.adapter,
        entry=dict(contents.entry),
        files=dict(contents.files),
        settings=model,
        input_schema=required_schema(given, "input", facts),
        output_schema=required_schema(model.output_schema or contents.output_schema, "output", facts),
        requirements=contents.requirements,
        refusal=refusal,
    )
    if arch not in PLATFORMS:
        report("warning", f"its environment is not resolved: uv does not know the wheels of {arch}")
        return loaded
    report("resolving", f"for {PLATFORMS[arch]}")
    lock, python, notes = environment_store(settings).resolve_for(
        EnvironmentSpec(requirements=contents.requirements, python=model.python),
        target=PLATFORMS[arch],
        offline=settings.offline,
        wheels=settings.wheels,
        report=report,
    )
    return msgspec.structs.replace(loaded, packages=packages_of(lock), python_version=python, notes=notes)
