"""From a model version and a configuration of it to a step that can be run: its route, and what its workers are to run."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import msgspec

from trivet.blobs import Blobs
from trivet.domain.routes import NativeStep, StepKey, WorkerStep
from trivet.domain.version import LoadedModel, ModelConfig, ModelVersion, Runtime
from trivet.errors import Conflict, Internal
from trivet.loading.prepare import Report, environment_store
from trivet.loading.restore import environment_of, package_root
from trivet.settings import Settings
from trivet.workers.spec import WorkerSpec

__all__ = ["PreparedIsolated", "PreparedNative", "PreparedStep", "StepRecords", "Steps", "Work"]

log = logging.getLogger(__name__)


Work = Callable[[], AbstractContextManager[WorkerSpec]]
"""Gives what a fleet's workers run, and keeps it from being removed, for the length of a `with` block. Blocks."""


@dataclass(frozen=True, slots=True)
class PreparedNative:
    """A step for the gateway itself."""

    route: NativeStep


@dataclass(frozen=True, slots=True)
class PreparedIsolated:
    """A step for workers.

    Attributes:
        route: without workers.
        work: what they run; a fleet adds its resources.
    """

    route: WorkerStep
    work: Work


PreparedStep = PreparedNative | PreparedIsolated


class StepRecords(Protocol):
    """What is asked of the catalog."""

    def version(self, id_or_uuid: int | str) -> ModelVersion:
        """A model version."""

    def config(self, config_id: int) -> ModelConfig:
        """A configuration of one."""


class Steps:
    """Makes steps ready. Safe to use from several threads; everything here blocks.

    Args:
        records: the catalog.
        blobs: where a package is fetched from, should its files be gone.
        settings: home, and how environments are built.
    """

    def __init__(self, records: StepRecords, *, blobs: Blobs, settings: Settings) -> None:
        self._records = records
        self._blobs = blobs
        self._settings = settings

    def prepare(self, key: StepKey) -> PreparedStep:
        """Unpack a version's files and find its environment; both are made anew where they are gone.

        Raises:
            NotFound, Unavailable: the catalog does not have it, or cannot be reached.
            TrivetError: as `package_root` and `environment_of` say.
        """
        uuid, config_id = key
        version = self._records.version(uuid)
        config = None if config_id is None else self._records.config(config_id)
        loaded = version.loaded
        if loaded is None:
            raise Conflict(
                f"version {version.number} of {version.name} cannot be run",
                why=f"it is {version.status}",
                fix="deploy a version that is ready",
            )
        root = package_root(version, blobs=self._blobs, home=self._settings.home)
        if loaded.runtime is Runtime.NATIVE:
            if loaded.model_file is None:
                raise Internal(f"the model file of {version.name} is not known")
            return PreparedNative(native_route(version, loaded, config, path=str(root / loaded.model_file)))
        route = isolated_route(version, loaded, config)
        # An environment that has to be built is built now, and not while workers are waited for.
        environment_of(loaded, self._settings, _warnings_of(version))

        @contextmanager
        def work() -> Iterator[WorkerSpec]:
            environment = environment_of(loaded, self._settings, _warnings_of(version))
            with environment_store(self._settings).in_use(environment):
                yield WorkerSpec(
                    name=version.name,
                    # What another version said must not be told as the reason why this one fails.
                    log_name=f"{version.name}-{version.uuid[:8]}",
                    python=environment.python,
                    package_root=package_root(version, blobs=self._blobs, home=self._settings.home),
                    adapter=loaded.adapter,
                    entry=loaded.entry,
                    input_schema=route.input_schema,
                    output_schema=route.output_schema,
                    home=self._settings.home,
                    memory_bytes=loaded.settings.memory_bytes,
                    open_files=loaded.settings.open_files,
                    load_timeout_s=self._settings.load_timeout_s,
                )

        return PreparedIsolated(route, work)


def native_route(version: ModelVersion, loaded: LoadedModel, config: ModelConfig | None, *, path: str) -> NativeStep:
    """The route of a step that the gateway runs itself: what the configuration says goes before what the upload said."""
    said = loaded.settings
    fields, batch = said.tensor_fields, said.batch_config
    inputs, outputs, example = said.input_schema, said.output_schema, said.example
    if config is not None:
        if config.tensor_fields is not None and config.tensor_fields != fields:
            # Schema and rows of the upload speak of other names.
            fields, inputs, example = config.tensor_fields, None, ()
        batch = config.batch_config or batch
        inputs = inputs if config.input_schema is None else config.input_schema
        outputs = outputs if config.output_schema is None else config.output_schema
    return NativeStep(
        name=version.name,
        version=version.uuid,
        version_id=version.id,
        sha=version.sha,
        framework=version.framework.value,
        path=path,
        tensor_fields=fields,
        batch_config=batch,
        input_schema=inputs,
        output_schema=outputs,
        example=example,
        must_answer=loaded.answered,
        timeout_s=said.timeout_s,
    )


def isolated_route(version: ModelVersion, loaded: LoadedModel, config: ModelConfig | None) -> WorkerStep:
    """The route of a step that workers run, without workers."""
    said = loaded.settings
    route = WorkerStep(
        name=version.name,
        version=version.uuid,
        version_id=version.id,
        sha=version.sha,
        framework=version.framework.value,
        input_schema=loaded.input_schema,
        output_schema=loaded.output_schema,
        batch_config=said.batch_config,
        example=said.example,
        must_answer=loaded.answered,
        timeout_s=said.timeout_s,
    )
    if config is None:
        return route
    return msgspec.structs.replace(
        route,
        input_schema=route.input_schema if config.input_schema is None else config.input_schema,
        output_schema=route.output_schema if config.output_schema is None else config.output_schema,
        batch_config=config.batch_config or route.batch_config,
        # The row is made from the schema: of another one nobody knows what it is answered with.
        must_answer=route.must_answer and config.input_schema is None,
        max_batch_delay_ms=config.max_batch_delay_ms,
        batch_size_target=config.batch_size_target,
        batch_size_limit=config.batch_size_limit,
    )


def _warnings_of(version: ModelVersion) -> Report:
    """Nobody watches: what takes long is seen in the deployment's status."""

    def report(stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
        del done, total
        if stage == "warning":
            log.warning("%s version %s: %s", version.name, version.number, detail)

    return report
