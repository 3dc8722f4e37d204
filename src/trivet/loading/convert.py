"""Converts a model that runs in workers into a file that the gateway runs itself. The trial compares their answers."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import msgspec

from trivet.domain.frameworks import FRAMEWORKS, Framework, Runtime
from trivet.domain.package import ModelSettings, Package
from trivet.domain.runtimes import runtime_of
from trivet.domain.version import LoadedModel
from trivet.errors import Unsupported
from trivet.loading.environments import Report, environment_store
from trivet.loading.restore import environment_of
from trivet.loading.runtimes import examined
from trivet.packaging import open_package
from trivet.settings import Settings

__all__ = ["Converter", "convert"]


class Converter(Protocol):
    """The interface of a module of `trivet.loading.converters`."""

    def convert(self, package: Package, *, python: Path, target: Path) -> None:
        """Write an ONNX file at `target` with the same inputs and outputs as the package's model.

        Code of the package runs in its own process, with the interpreter `python` of the model's environment.

        Raises:
            TrivetError: the model cannot be converted.
        """


def convert(
    package: Package, model: LoadedModel, *, target: Path, settings: Settings, report: Report
) -> tuple[Path, LoadedModel] | None:
    """Convert a model's file, if its framework has a converter.

    Args:
        package: from `prepare`.
        model: as it answered in workers.
        target: where the converted file is written.
        settings: the home, and how environments are built.
        report: receives progress.

    Returns:
        The folder of the converted file, and the model as it runs natively; None without a converter.

    Raises:
        TrivetError: the model cannot be converted.
    """
    name = FRAMEWORKS[package.framework].converter
    if name is None:
        return None
    report("converting", "to ONNX")
    converter = cast("Converter", import_module(f"trivet.loading.converters.{name}"))
    environment = environment_of(model, settings, report)
    with environment_store(settings).in_use(environment):
        converter.convert(package, python=environment.python, target=target)
    # The file passes the checks of every ONNX file: the gateway opens it.
    checked = open_package(target, store=settings.home / "packages", settings=ModelSettings(framework=Framework.ONNX))
    native = examined(
        msgspec.structs.replace(
            model,
            runtime=Runtime.NATIVE,
            converted=checked.digest,
            # A native session takes its inputs from the file; with a schema it would rename them.
            settings=replace(model.settings, input_schema=None, output_schema=model.output_schema),
            environment=None,
            requirements=(),
            packages=(),
            python_version=None,
        ),
        root=checked.root,
    )
    if runtime_of(native, None, trust_native=settings.trust_native) is not Runtime.NATIVE:
        raise Unsupported("its converted file may not run in the gateway's process", why=native.not_harmless)
    return checked.root, native
