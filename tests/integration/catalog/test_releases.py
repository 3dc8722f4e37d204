"""This release opens the databases of earlier releases, with all their content."""

import importlib.util
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from trivet.catalog import migrating, open_catalog
from trivet.catalog.tables import metadata
from trivet.domain.deployment import DeploymentConfig


@pytest.fixture(scope="module")
def releases():
    """The program that writes such databases is beside this file."""
    spec = importlib.util.spec_from_file_location("kept_releases", Path(__file__).with_name("releases.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_release_has_a_filled_database(releases) -> None:
    kept = sorted(folder.name for folder in releases.RELEASES.iterdir())
    assert kept == migrating.revisions(), "python tests/integration/catalog/releases.py adds what is missing"


@pytest.mark.parametrize("revision", migrating.revisions())
def test_a_database_of_every_release_is_read_and_written(releases, url, revision) -> None:
    answered = releases.restore(revision, url)
    catalog = open_catalog(url)
    now = releases.everything(catalog)
    for name, values in answered.items():
        assert without_news(now[name], values) == values, name
    with catalog._database.engine.connect() as connection:
        options = {"version_table": migrating.VERSION_TABLE, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    pipeline = catalog.pipelines.get(1, "ccfraud")
    _, deployment = catalog.deployments.deploy(
        pipeline.id, version=pipeline.versions[1].uuid, config=DeploymentConfig()
    )
    assert deployment.generation == 3
    assert catalog.workspaces.create("new", created_by="a test").id > max(each["id"] for each in now["workspaces"])
    catalog.pipelines.delete(catalog.workspaces.get("team-ä").id, "stopped")
    catalog.close()


@pytest.mark.parametrize("revision", migrating.revisions())
def test_opening_twice_changes_nothing(releases, url, revision) -> None:
    releases.restore(revision, url)
    catalog = open_catalog(url)
    first = releases.everything(catalog)
    catalog.close()
    catalog = open_catalog(url)
    assert releases.everything(catalog) == first
    catalog.close()


def without_news(now, then):
    """A value as that release wrote it: a later release may add fields."""
    if isinstance(then, dict) and isinstance(now, dict):
        return {name: without_news(now[name], value) for name, value in then.items() if name in now}
    if isinstance(then, list) and isinstance(now, list) and len(now) == len(then):
        return [without_news(*pair) for pair in zip(now, then, strict=True)]
    return now
