"""Filled databases of every release, kept as they were: what today's release must be able to open.

`python tests/integration/catalog/releases.py` adds the folder of a release whose revision has none yet. What is there
already is never written again: it is what users have.
"""

import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa

from trivet.catalog import Catalog, open_catalog
from trivet.catalog.migrating import HEAD
from trivet.domain.deployment import DeploymentConfig, DeploymentState, DeploymentStatus, Resources
from trivet.domain.digest import digest_of_bytes
from trivet.domain.encoding import encode
from trivet.domain.fault import Fault
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.package import EntryPoint, ModelSettings
from trivet.domain.pipeline import CheckStep, ModelStep, Validation
from trivet.domain.version import Acceleration, Architecture, LoadedModel, VersionStatus

RELEASES = Path(__file__).parent / "releases"

INPUTS = pa.schema([pa.field("tensor", pa.list_(pa.float32(), 29), nullable=False)], metadata={"by": "a release"})
OUTPUTS = pa.schema([pa.field("dense_1", pa.list_(pa.float32(), 1))])


def fill(catalog: Catalog) -> None:
    """Use everything that a catalog can hold."""
    team = catalog.workspaces.create("team-ä", created_by="somebody")
    common: dict[str, Any] = {
        "arch": Architecture.X86,
        "accel": Acceleration.NONE,
        "visibility": "private",
        "created_by": "somebody",
    }
    native = catalog.models.add_version(
        workspace_id=1,
        name="ccfraud",
        file_name="ccfraud.onnx",
        sha=digest_of_bytes(b"a"),
        size=171121,
        framework=Framework.ONNX,
        settings=ModelSettings(tensor_fields=("tensor",)),
        **common,
    )
    catalog.models.set_status(native.id, VersionStatus.ATTEMPTING_LOAD_NATIVE)
    loaded = LoadedModel(
        runtime=Runtime.NATIVE, adapter="onnx", model_file="ccfraud.onnx", input_schema=INPUTS, output_schema=OUTPUTS
    )
    catalog.models.set_status(native.id, VersionStatus.READY, loaded=loaded)
    isolated = catalog.models.add_version(
        workspace_id=1,
        name="clean",
        file_name="clean step.zip",
        sha=digest_of_bytes(b"b"),
        size=2**33,
        framework=Framework.PYTHON,
        settings=ModelSettings(input_schema=INPUTS, output_schema=INPUTS, example=({"tensor": [1.5] * 29},)),
        **common,
    )
    loaded = LoadedModel(
        runtime=Runtime.ISOLATED,
        adapter="python",
        entry={"function": EntryPoint(file="clean.py", name="process_data", line=7)},
        input_schema=INPUTS,
        output_schema=INPUTS,
        environment=digest_of_bytes(b"environment"),
        requirements=("numpy==1.26.4",),
        python_version="3.11",
        notes=("a note",),
    )
    catalog.models.set_status(isolated.id, VersionStatus.READY, loaded=loaded)
    broken = catalog.models.add_version(
        workspace_id=team.id,
        name="broken",
        file_name="broken.zip",
        sha=digest_of_bytes(b"c"),
        size=12,
        framework=Framework.CUSTOM,
        settings=ModelSettings(),
        **common,
    )
    fault = Fault(error="BadPackage", what="no", why="because", fix="mend it", path="a.py:3", reason="bad")
    catalog.models.set_status(broken.id, VersionStatus.ERROR, fault=fault)
    catalog.journal.log_upload(broken.id, level="error", stage="load", text="it's no model;\nsecond line")
    catalog.models.add_config(
        native.id, tensor_fields=("dense_input",), batch_config="single", runtime=Runtime.ISOLATED, network="none"
    )
    config = catalog.models.add_config(
        native.id, input_schema=INPUTS, max_batch_delay_ms=10, batch_size_target=8, batch_size_limit=16
    )
    steps = (
        ModelStep(name="clean", version=isolated.uuid, sha=isolated.sha),
        ModelStep(name="ccfraud", version=native.uuid, sha=native.sha, config_id=config.id),
        CheckStep(validations=(Validation(name="fraud", expression='{"Alias":[{"Column":"out.dense_1"},"fraud"]}'),)),
    )
    pipeline = catalog.pipelines.create(1, "ccfraud")
    deployment_config = DeploymentConfig(
        replicas=2,
        engine=Resources(cpus=0.5, memory_bytes=2**30),
        sidekicks={isolated.uuid: Resources(env={"A": "b"})},
        document={"replicas": 2, "engine": {"cpu": 0.5}},
    )
    first, deployment = catalog.deployments.deploy(pipeline.id, steps=steps, config=deployment_config)
    status = DeploymentStatus(state=DeploymentState.RUNNING, generation=1, serving=first.uuid, gateway="engine-1")
    catalog.deployments.set_status(deployment.id, status)
    catalog.deployments.deploy(pipeline.id, steps=steps[1:], config=DeploymentConfig())
    stopped = catalog.pipelines.create(team.id, "stopped")
    catalog.deployments.deploy(stopped.id, steps=(), config=DeploymentConfig())
    catalog.deployments.undeploy(stopped.id)
    catalog.pipelines.create(team.id, "never-deployed")
    tag = catalog.tags.create("of the bank")
    catalog.tags.add_to_model(tag, native.id)
    catalog.tags.add_to_pipeline(tag, pipeline.id)
    catalog.journal.add_event(
        workspace_id=1, subject="version", subject_id=native.uuid, kind="ready", text="ccfraud is ready"
    )


def everything(catalog: Catalog) -> dict[str, Any]:
    """What a catalog answers, as JSON values."""
    workspaces = catalog.workspaces.all()
    models = [model for each in workspaces for model in catalog.models.all(each.id)]
    versions = [version for model in models for version in catalog.models.versions(model.workspace_id, model.name)]
    answers = {
        "workspaces": workspaces,
        "models": models,
        "versions": versions,
        "pipelines": [pipeline for each in workspaces for pipeline in catalog.pipelines.all(each.id)],
        "deployments": catalog.deployments.all(),
        "upload_logs": [line for version in versions for line in catalog.journal.upload_logs(version.id)],
        "events": catalog.journal.events(),
        "tags": catalog.tags.all(),
        "revision": catalog.revision(),
    }
    return {name: json.loads(encode(value)) for name, value in answers.items()}


def keep(postgres: Any) -> Path:
    """Write the folder of this release's revision."""
    folder = RELEASES / HEAD
    folder.mkdir(parents=True)
    file = folder / "catalog.db"
    with closing(open_catalog(f"sqlite:///{file}")) as catalog:
        fill(catalog)
        (folder / "sqlite.json").write_text(json.dumps(everything(catalog), indent=1) + "\n")
    with closing(sqlite3.connect(file)) as database:
        (folder / "sqlite.sql").write_text("\n".join(database.iterdump()) + "\n")
    file.unlink()
    url = postgres.new_database()
    with closing(open_catalog(url)) as catalog:
        fill(catalog)
        (folder / "postgresql.json").write_text(json.dumps(everything(catalog), indent=1) + "\n")
    run = [f"{postgres.binaries}/pg_dump", "--inserts", "--no-owner", "--no-privileges", url]
    dumped = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout
    (folder / "postgresql.sql").write_text(dumped)
    return folder


def restore(revision: str, url: str) -> dict[str, Any]:
    """Put a release's database into an empty one, and give what its release answered from it."""
    kind = "sqlite" if url.startswith("sqlite") else "postgresql"
    script = (RELEASES / revision / f"{kind}.sql").read_text()
    if kind == "sqlite":
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
            database.executescript(script)
    else:
        # What psql alone understands, and what would hide the tables from this session only.
        lines = [line for line in io.StringIO(script) if not line.startswith(("\\", "SELECT pg_catalog.set_config"))]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("".join(lines))
    return json.loads((RELEASES / revision / f"{kind}.json").read_text())


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from conftest import a_postgres

    with a_postgres() as server:
        print(keep(server))
