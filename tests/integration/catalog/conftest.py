"""A catalog in each kind of database, and helpers to fill it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from trivet.catalog import Catalog, open_catalog
from trivet.domain.deployment import Deployment, DeploymentConfig
from trivet.domain.digest import Digest, digest_of_bytes
from trivet.domain.frameworks import Framework
from trivet.domain.package import ModelSettings
from trivet.domain.pipeline import ModelStep
from trivet.domain.version import Acceleration, Architecture, ModelVersion


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    opened = open_catalog(url)
    yield opened
    opened.close()


@dataclass(frozen=True)
class Filled:
    """Helpers to fill a catalog."""

    catalog: Catalog

    def version(self, name: str = "ccfraud", *, data: bytes = b"model", **others) -> ModelVersion:
        values = {
            "workspace_id": 1,
            "file_name": f"{name}.onnx",
            "sha": digest_of_bytes(data),
            "size": len(data),
            "framework": Framework.ONNX,
            "settings": ModelSettings(),
            "arch": Architecture.X86,
            "accel": Acceleration.NONE,
            "visibility": "private",
            "created_by": "ann",
        }
        return self.catalog.models.add_version(**{**values, "name": name, **others})

    def step(self, version: ModelVersion, config_id: int | None = None) -> ModelStep:
        return ModelStep(name=version.name, version=version.uuid, sha=version.sha, config_id=config_id)

    def deployed(self, name: str, *versions: ModelVersion) -> Deployment:
        pipeline = self.catalog.pipelines.create(1, name)
        steps = [self.step(version) for version in versions]
        return self.catalog.deployments.deploy(pipeline.id, steps=steps, config=DeploymentConfig())[1]


@pytest.fixture
def fill() -> Callable[[Catalog], Filled]:
    return Filled


@pytest.fixture
def filled(catalog: Catalog) -> Filled:
    return Filled(catalog)


@pytest.fixture
def some_sha() -> Digest:
    return digest_of_bytes(b"model")
