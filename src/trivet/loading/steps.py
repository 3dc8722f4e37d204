"""Turns a loaded model and its configuration into a step, and into the specification of its workers."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version as release
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from trivet.blobs import Blobs
from trivet.domain.batching import Batching
from trivet.domain.digest import Digest
from trivet.domain.frameworks import Runtime
from trivet.domain.network import NetworkUse
from trivet.domain.routes import NativeStep, StepKey, WorkerStep
from trivet.domain.runtimes import not_proved, runtime_of, why_not_converted
from trivet.domain.version import LoadedModel, ModelConfig, ModelVersion, batching_of, network_of
from trivet.errors import Conflict, Internal, TrivetError
from trivet.loading.environments import Report, environment_store
from trivet.loading.log_lines import UploadLines
from trivet.loading.restore import environment_of, native_root, package_root
from trivet.loading.runtimes import examined, in_workers
from trivet.settings import Settings
from trivet.workers.spec import WorkerSpec

__all__ = ["Identity", "PreparedStep", "StepRecords", "Steps", "Work", "native_step", "work_of", "worker_step"]

log = logging.getLogger(__name__)


Work: TypeAlias = Callable[[], AbstractContextManager[WorkerSpec]]
"""Returns the specification of workers, and protects its files for the length of a `with` block. Blocks."""

PreparedStep: TypeAlias = tuple[NativeStep | WorkerStep, Work | None]
"""A step without workers, and their specification; None if the gateway runs it itself."""


class Identity(NamedTuple):
    """The names of a model version in routes, answers and metrics.

    Attributes:
        version: its UUID.
        version_id: its id among all versions; 0 without a catalog.
        sha: sha256 of the package's bytes.
    """

    name: str
    version: str
    version_id: int
    sha: str
    framework: str

    @classmethod
    def of(cls, version: ModelVersion) -> "Identity":
        """The identity of a version in the catalog."""
        return cls(version.name, version.uuid, version.id, version.sha, version.framework.value)


class StepRecords(Protocol):
    """The catalog's models; `loading` does not import them, because `trivet serve` has no catalog."""

    def version(self, id_or_uuid: int | str) -> ModelVersion:
        """A model version."""

    def config(self, config_id: int) -> ModelConfig:
        """A configuration of one."""

    def set_loaded(self, version_id: int, loaded: LoadedModel) -> None:
        """Record where a version runs now.

        Raises:
            NotFound: it was deleted.
        """


class Steps:
    """Prepares steps. Safe to use from several threads; all methods block.

    Args:
        records: the models of the catalog.
        blobs: has the package if its files are gone.
        settings: home, and how environments are built.
        journal: receives an event for each version that leaves the gateway's process.
        native_faults: versions that ended or blocked a gateway, by UUID, with how.
    """

    def __init__(
        self,
        records: StepRecords,
        *,
        blobs: Blobs,
        settings: Settings,
        journal: UploadLines,
        native_faults: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._records = records
        self._blobs = blobs
        self._settings = settings
        self._journal = journal
        self._native_faults = native_faults

    def prepare(self, key: StepKey) -> PreparedStep:
        """Unpack a version's files and find its environment; both are restored if they are gone.

        Raises:
            NotFound, Unavailable: it is not in the catalog, or the catalog is unreachable.
            TrivetError: as for `package_root` and `environment_of`.
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
        if loaded.refusal is not None and loaded.is_untried:
            raise loaded.refusal.exception()

        report = _warnings_of(version)
        if loaded.converted is not None:
            made_native = self._converted(version, loaded, config)
            if made_native is not None:
                return made_native, None
            loaded = loaded.own
        kept = loaded

        def root() -> Path:
            if kept.is_session:
                return native_root(version, kept, blobs=self._blobs, home=self._settings.home)
            return package_root(version, blobs=self._blobs, home=self._settings.home)

        if loaded.is_session:
            made = self._session(version, loaded, config, root=root(), report=report)
            if isinstance(made, NativeStep):
                return made, None
            step, loaded = made
        else:
            root()
            step = worker_step(Identity.of(version), loaded, config)
        # Build a missing environment now, and not during the wait for workers.
        environment_of(loaded, self._settings, report)
        return step, work_of(
            step,
            loaded,
            network=network_of(loaded, config),
            root=root,
            settings=self._settings,
            report=report,
            log_name=version.log_name,
        )

    def _converted(self, version: ModelVersion, loaded: LoadedModel, config: ModelConfig | None) -> NativeStep | None:
        """The step of a model as its converted file; None if it runs in workers.

        Raises:
            Invalid: its owner asks for the gateway's process, and it was not proved with this ONNX Runtime.
        """
        known = self._with_fault(version, loaded)
        why = why_not_converted(known, onnxruntime=release("onnxruntime"))
        known = msgspec.structs.replace(known, runtime=Runtime.NATIVE if why is None else Runtime.ISOLATED)
        if known != loaded:
            self._records.set_loaded(version.id, known)
        if why is not None:
            _warnings_of(version)("warning", f"it runs in workers: {why}")
        asked = None if config is None else config.runtime
        if asked is Runtime.NATIVE and why is not None and known.native_fault is None:
            raise not_proved(why)
        given = config is not None and (config.input_schema is not None or config.output_schema is not None)
        if why is not None or asked is Runtime.ISOLATED or (given and asked is None):
            return None
        root = native_root(version, known, blobs=self._blobs, home=self._settings.home)
        return native_step(Identity.of(version), known, config, root=root)

    def _session(
        self, version: ModelVersion, loaded: LoadedModel, config: ModelConfig | None, *, root: Path, report: Report
    ) -> NativeStep | tuple[WorkerStep, LoadedModel]:
        """The step of an ONNX model; in workers also the model as it runs there."""
        identity, settings = Identity.of(version), self._settings
        plain = native_step(identity, loaded, None, root=root)
        known = self._with_fault(version, examined(loaded, root=root))
        own = known.settings.runtime
        asked = own if config is None or config.runtime is None else config.runtime
        if known.native_fault is not None:
            # It leaves the gateway's process even if its owner asked for that before.
            own = asked = None
        runtime = runtime_of(known, own, trust_native=settings.trust_native)
        if runtime is Runtime.NATIVE:
            known = msgspec.structs.replace(known, runtime=runtime)
        elif known.onnx is None:
            known = in_workers(known, plain, settings=settings, report=report)
        else:
            known = msgspec.structs.replace(known, runtime=runtime)
        if known != loaded:
            # It was loaded by an earlier release, or the operator's setting has changed.
            self._records.set_loaded(version.id, known)
        step = native_step(identity, known, config, root=root)
        if runtime_of(known, asked, trust_native=settings.trust_native) is Runtime.NATIVE:
            return step
        if known.onnx is None or step != plain:
            known = in_workers(known, step, settings=settings, report=report)
        # The schemas are those of the file under the configuration.
        rest = None if config is None else msgspec.structs.replace(config, input_schema=None, output_schema=None)
        made = worker_step(identity, known, rest)
        return msgspec.structs.replace(made, example=step.example), known

    def _with_fault(self, version: ModelVersion, known: LoadedModel) -> LoadedModel:
        """The model with what it did to a gateway. A new fault is recorded at once: its worker may need minutes to start."""
        how = self._native_faults().get(version.uuid)
        if how is None or known.native_fault is not None:
            return known
        known = msgspec.structs.replace(known, native_fault=how)
        self._records.set_loaded(version.id, known)
        text = f"{version.name} version {version.number} moves to workers for good: {how}"
        log.warning("%s", text)
        try:
            self._journal.log_upload(version.id, level="warning", stage="moved_to_workers", text=text)
            self._journal.add_event(
                workspace_id=version.workspace_id,
                subject="model_version",
                subject_id=version.uuid,
                kind="moved_to_workers",
                text=text,
            )
        except TrivetError as error:
            log.warning("failed to record that: %s", error.message)
        return known


def work_of(
    step: WorkerStep,
    loaded: LoadedModel,
    *,
    network: NetworkUse,
    root: Callable[[], Path],
    settings: Settings,
    report: Report,
    log_name: str | None = None,
) -> Work:
    """What the workers of a step run.

    Args:
        step: what they answer.
        loaded: the model.
        network: whether they may use it.
        root: unpacks the package's files where they are gone. Called each time that workers are started.
        settings: the home, and how environments are built.
        report: called with what is going on.
        log_name: the name of the workers' log, if it is not the model's.
    """
    adapter = loaded.adapter
    if adapter is None:
        raise Internal(f"the adapter of {step.name} is not known")

    @contextmanager
    def work() -> Iterator[WorkerSpec]:
        environment = environment_of(loaded, settings, report)
        with environment_store(settings).in_use(environment):
            root()
            yield WorkerSpec(
                name=step.name,
                log_name=log_name,
                package=Digest(step.sha) if loaded.converted is None else loaded.converted,
                environment=environment.digest,
                adapter=adapter,
                entry=loaded.entry,
                files=loaded.files if loaded.native_file is None else {**loaded.files, "model": loaded.native_file},
                onnx=loaded.onnx,
                input_schema=step.input_schema,
                output_schema=step.output_schema,
                memory_bytes=loaded.settings.memory_bytes,
                open_files=loaded.settings.open_files,
                network=network == "full",
                load_timeout_s=settings.load_timeout_s,
            )

    return work


def native_step(identity: Identity, loaded: LoadedModel, config: ModelConfig | None, *, root: Path) -> NativeStep:
    """A step that the gateway runs itself, from the file below `root`. The configuration overrides the upload's settings."""
    file = loaded.native_file
    if file is None:
        raise Internal(f"the model file of {identity.name} is not known")
    given = loaded.settings
    fields = given.tensor_fields
    inputs, outputs, example = given.input_schema, given.output_schema, given.example
    if loaded.converted is not None:
        inputs, outputs = loaded.input_schema, loaded.output_schema
    if config is not None:
        if config.tensor_fields is not None and config.tensor_fields != fields:
            # Schema and example rows of the upload have the old names.
            fields, inputs, example = config.tensor_fields, None, ()
        inputs = inputs if config.input_schema is None else config.input_schema
        outputs = outputs if config.output_schema is None else config.output_schema
    return NativeStep(
        **identity._asdict(),
        path=str(root / file),
        tensor_fields=fields,
        batch_config=_batching(loaded, config),
        input_schema=inputs,
        output_schema=outputs,
        example=example,
        must_answer=loaded.answered,
        timeout_s=given.timeout_s,
        bounds=loaded.bounds,
        refused=None if loaded.proof is None else loaded.proof.refused,
    )


def worker_step(identity: Identity, loaded: LoadedModel, config: ModelConfig | None) -> WorkerStep:
    """A step that workers run, without workers."""
    given = loaded.settings
    step = WorkerStep(
        **identity._asdict(),
        input_schema=loaded.input_schema,
        output_schema=loaded.output_schema,
        batch_config=_batching(loaded, config),
        example=given.example,
        must_answer=loaded.answered,
        timeout_s=given.timeout_s,
    )
    if config is None:
        return step
    return msgspec.structs.replace(
        step,
        input_schema=step.input_schema if config.input_schema is None else config.input_schema,
        output_schema=step.output_schema if config.output_schema is None else config.output_schema,
        # The row is made from the schema; whether the model answers a row of another schema is unknown.
        must_answer=step.must_answer and config.input_schema is None,
        max_batch_delay_ms=config.max_batch_delay_ms,
        batch_size_target=config.batch_size_target,
        batch_size_limit=config.batch_size_limit,
    )


def _batching(loaded: LoadedModel, config: ModelConfig | None) -> Batching | None:
    """Which rows share a call; None for `whole`, so that routes of earlier releases, which do not say it, stay the same."""
    batching, _ = batching_of(loaded, config)
    return None if batching == "whole" else batching


def _warnings_of(version: ModelVersion) -> Report:
    """Log warnings only: the deployment's status shows progress."""

    def report(stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
        del done, total
        if stage == "warning":
            log.warning("%s version %s: %s", version.name, version.number, detail)

    return report
