"""A catalog in each kind of database, and helpers to fill it."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def first_database(postgres_server: Any) -> str:
    """The name of a PostgreSQL database with a catalog as a first start creates it, for copies."""
    url = postgres_server.new_database()
    open_catalog(url).close()
    return str(url.rpartition("/")[2])


@pytest.fixture
def created_sqlite(first_catalog: Path, tmp_path: Path) -> str:
    """The URL of a catalog as a first start creates it, in SQLite."""
    return f"sqlite:///{shutil.copy(first_catalog, tmp_path / 'created.db')}"


@pytest.fixture
def created_postgres(postgres_server: Any, first_database: str) -> str:
    """The URL of a catalog as a first start creates it, in PostgreSQL."""
    return str(postgres_server.new_database(template=first_database))


@pytest.fixture(params=["sqlite", "postgresql"])
def created_url(request: pytest.FixtureRequest) -> str:
    """The URL of a catalog as a first start creates it."""
    kinds = {"sqlite": "created_sqlite", "postgresql": "created_postgres"}
    return str(request.getfixturevalue(kinds[request.param]))


@pytest.fixture
def catalog(created_url: str) -> Iterator[Catalog]:
    opened = open_catalog(created_url)
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
