"""Prepares conversions: the worker that converts a model, and the model as its converted file."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from trivet.domain.environment import EnvironmentSpec
from trivet.domain.frameworks import Conversion, Framework, Runtime
from trivet.domain.package import ModelSettings
from trivet.domain.runtimes import runtime_of
from trivet.domain.version import LoadedModel
from trivet.envs import packages_of
from trivet.errors import Unsupported
from trivet.loading.environments import Report, environment_store
from trivet.loading.runtimes import examined
from trivet.packaging import discard_package, open_package
from trivet.settings import Settings

__all__ = ["CONVERTING_S", "converting_model", "native_model"]

CONVERTING_S: Final = 300.0
"""From the build of the environment that converts to the last comparison."""

MORE_BYTES = 2 * 2**30
"""What a conversion may take beside the memory of the model's own workers."""


def converting_model(model: LoadedModel, conversion: Conversion, *, settings: Settings, report: Report) -> LoadedModel:
    """The model as a worker loads it that converts it: in an environment of its own, with the converter.

    Raises:
        BadEnvironment: an environment with the converter and the model's releases cannot be built.
    """
    kept = tuple(pin for pin in model.packages if pin.partition("==")[0].lower() in conversion.keeps)
    requirements = (*kept, *conversion.requirements)
    environment = environment_store(settings).ensure(
        EnvironmentSpec(requirements=requirements, python=model.python_version),
        offline=settings.offline,
        wheels=settings.wheels,
        report=report,
    )
    limit = model.settings.memory_bytes
    return msgspec.structs.replace(
        model,
        adapter=conversion.adapter,
        settings=replace(
            model.settings, memory_bytes=None if limit is None else limit + MORE_BYTES, timeout_s=CONVERTING_S
        ),
        environment=environment.digest,
        requirements=requirements,
        packages=packages_of(environment.lock),
        python_version=environment.python_version,
    )


def native_model(model: LoadedModel, file: bytes, *, target: Path, settings: Settings) -> tuple[Path, LoadedModel]:
    """The model as a converted file, which is not compared yet.

    Args:
        model: as it answered in workers.
        file: the converted file.
        target: where it is written.
        settings: the home, and whether all graphs are trusted.

    Returns:
        The folder of the file, and the model.

    Raises:
        TrivetError: the file may not run in the gateway's process.
    """
    target.write_bytes(file)
    # It passes the checks of every ONNX file: the gateway opens it.
    store = settings.home / "packages"
    checked = open_package(target, store=store, settings=ModelSettings(framework=Framework.ONNX))
    native = msgspec.structs.replace(model, runtime=Runtime.NATIVE, converted=checked.digest, onnx=None)
    native = examined(native, root=checked.root)
    if runtime_of(native, None, trust_native=settings.trust_native) is not Runtime.NATIVE:
        discard_package(store, checked.digest)
        raise Unsupported(f"its converted file may not run in the gateway's process: {native.not_harmless}")
    return checked.root, native
