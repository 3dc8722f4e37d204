"""Examines ONNX graphs, and prepares the models that run in workers."""

import sys
from importlib.metadata import version
from pathlib import Path

import msgspec

from trivet.domain.environment import EnvironmentSpec
from trivet.domain.frameworks import Runtime
from trivet.domain.routes import NativeStep
from trivet.domain.version import LoadedModel
from trivet.engine.native.graphs.harmless import examine
from trivet.envs import packages_of
from trivet.errors import Internal
from trivet.loading.describe import describe
from trivet.loading.environments import Report, environment_store
from trivet.settings import Settings

__all__ = ["examined", "in_workers"]

ADAPTER = "onnx"


def examined(loaded: LoadedModel, *, root: Path) -> LoadedModel:
    """The model with the verdict about its graph, which a version of an earlier release lacks.

    Args:
        loaded: of a version whose file an ONNX session opens.
        root: the folder of that file.
    """
    if loaded.examined:
        return loaded
    file = loaded.native_file
    if file is None:
        raise Internal("the model file is not known")
    found = examine(root / file)
    return msgspec.structs.replace(loaded, bounds=found.bounds, not_harmless=found.reason)


def in_workers(loaded: LoadedModel, step: NativeStep, *, settings: Settings, report: Report) -> LoadedModel:
    """An ONNX model as it runs in workers, with the schemas that it has under a configuration.

    All such models share an environment: it has this installation's ONNX Runtime, and its Python.

    Args:
        loaded: examined.
        step: its file under the configuration.
        settings: the home, how environments are built, and how long loading may take.
        report: receives progress.

    Raises:
        BadEnvironment: ONNX Runtime cannot be installed.
        TrivetError: as for `describe`.
    """
    requirements = (f"onnxruntime=={version('onnxruntime')}",)
    environment = environment_store(settings).ensure(
        EnvironmentSpec(requirements=requirements, python=f"{sys.version_info[0]}.{sys.version_info[1]}"),
        offline=settings.offline,
        wheels=settings.wheels,
        report=report,
    )
    report("loading", "in a process of its own, to learn how the model answers")
    found = describe(step, memory_bytes=loaded.settings.memory_bytes, settings=settings)
    return msgspec.structs.replace(
        loaded,
        runtime=Runtime.ISOLATED,
        adapter=ADAPTER,
        onnx=found.calls,
        input_schema=found.input_schema,
        output_schema=found.output_schema,
        environment=environment.digest,
        requirements=requirements,
        packages=packages_of(environment.lock),
        python_version=environment.python_version,
    )
