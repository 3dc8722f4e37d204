"""A deployment of a model that is still loading waits for it, and the version before goes on answering."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from trivet.catalog import Catalog, open_catalog
from trivet.domain.deployment import DeploymentConfig, DeploymentState, DeploymentStatus
from trivet.domain.digest import digest_of_bytes
from trivet.domain.fault import Fault
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.package import ModelSettings
from trivet.domain.pipeline import ModelStep
from trivet.domain.version import Acceleration, Architecture, LoadedModel, ModelVersion, VersionStatus
from trivet.supervisor.catalog_reader import CatalogReader
from trivet.supervisor.desired import DesiredPipeline

LOADED = LoadedModel(runtime=Runtime.NATIVE, input_schema=pa.schema([]), output_schema=pa.schema([]))


@pytest.fixture
def catalog(tmp_path: Path, first_catalog: Path) -> Iterator[Catalog]:
    shutil.copy(first_catalog, tmp_path / "catalog.db")
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db")
    yield catalog
    catalog.close()


def uploaded(catalog: Catalog, name: str) -> ModelVersion:
    return catalog.models.add_version(
        workspace_id=1,
        name=name,
        file_name=f"{name}.onnx",
        sha=digest_of_bytes(name.encode()),
        size=1,
        framework=Framework.ONNX,
        settings=ModelSettings(),
        arch=Architecture.X86,
        accel=Acceleration.NONE,
        visibility="private",
        created_by="owner",
    )


def deploy(catalog: Catalog, pipeline_id: int, version: ModelVersion) -> tuple[str, int]:
    step = ModelStep(name=version.name, version=version.uuid, sha=version.sha)
    made, deployment = catalog.deployments.deploy(pipeline_id, steps=(step,), config=DeploymentConfig())
    return made.uuid, deployment.id


def running(reader: CatalogReader) -> list[DesiredPipeline]:
    reading = reader.read()
    assert reading is not None
    return list(reading.desired.running)


@pytest.mark.parametrize("ends", [VersionStatus.READY, VersionStatus.ERROR])
def test_a_deployment_waits_until_its_model_is_loaded_or_has_failed(catalog: Catalog, ends: VersionStatus):
    version, pipeline, reader = uploaded(catalog, "slow"), catalog.pipelines.create(1, "pipe"), CatalogReader(catalog)
    wanted, _ = deploy(catalog, pipeline.id, version)
    assert running(reader) == []
    if ends is VersionStatus.READY:
        catalog.models.set_status(version.id, ends, loaded=LOADED)
    else:
        catalog.models.set_status(version.id, ends, fault=Fault(error="BadPackage", what="broken"))
    assert [each.pipeline_version for each in running(reader)] == [wanted]


def test_the_version_before_answers_until_the_next_is_loaded(catalog: Catalog):
    first, second = uploaded(catalog, "first"), uploaded(catalog, "second")
    catalog.models.set_status(first.id, VersionStatus.READY, loaded=LOADED)
    pipeline, reader = catalog.pipelines.create(1, "pipe"), CatalogReader(catalog)
    before, deployment_id = deploy(catalog, pipeline.id, first)
    status = DeploymentStatus(state=DeploymentState.RUNNING, generation=1, serving=before, answered=before)
    catalog.deployments.set_status(deployment_id, status)
    wanted, _ = deploy(catalog, pipeline.id, second)
    (desired,) = running(reader)
    assert (desired.pipeline_version, desired.generation) == (before, 1)
    catalog.models.set_status(second.id, VersionStatus.READY, loaded=LOADED)
    (desired,) = running(reader)
    assert (desired.pipeline_version, desired.generation) == (wanted, 2)


def test_a_deployment_that_is_stopped_while_it_waits_is_not_started(catalog: Catalog):
    version, pipeline, reader = uploaded(catalog, "slow"), catalog.pipelines.create(1, "pipe"), CatalogReader(catalog)
    _, deployment_id = deploy(catalog, pipeline.id, version)
    catalog.deployments.undeploy(pipeline.id)
    reading = reader.read()
    assert reading is not None
    assert reading.desired.running == ()
    assert [each.deployment_id for each in reading.desired.stopped] == [deployment_id]
