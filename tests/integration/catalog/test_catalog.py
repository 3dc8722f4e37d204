"""The behaviour of the catalog in every database."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from sqlalchemy import event

from trivet.catalog import open_catalog
from trivet.catalog.journal import EVENTS_KEPT
from trivet.domain.deployment import DeploymentConfig, DeploymentState, DeploymentStatus, Resources, WorkerStatus
from trivet.domain.digest import Digest, digest_of_bytes
from trivet.domain.fault import Fault
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.package import EntryPoint, ModelSettings
from trivet.domain.package import TestCase as Case
from trivet.domain.pipeline import CheckStep, ModelStep, Validation
from trivet.domain.version import LoadedModel, VersionStatus
from trivet.errors import Conflict, Invalid, NotFound

INPUTS = pa.schema([pa.field("tensor", pa.list_(pa.float32(), 29), nullable=False)], metadata={"made_by": "ann"})
OUTPUTS = pa.schema([pa.field("dense_1", pa.list_(pa.float32(), 1))])
CONFIG = DeploymentConfig(
    replicas=2,
    engine=Resources(cpus=0.5, memory_bytes=2**30, env={"A": "b"}),
    document={"cpus": 0.5, "engine": {"env": ["Ä"]}},
)


def queries(catalog, call) -> int:
    """The number of statements of a call."""
    seen = []
    engine = catalog._database.engine
    event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    call()
    return len([statement for statement in seen if not statement.startswith("BEGIN")])


class TestWorkspaces:
    def test_the_first_workspace_is_called_default(self, url) -> None:
        with closing(open_catalog(url)) as catalog:
            first = catalog.workspaces.get(1)
            assert catalog.workspaces.get("default") == first
        assert (first.name, first.archived) == ("default", False)
        assert abs(datetime.now(UTC) - first.created_at) < timedelta(minutes=5)

    def test_a_workspace_is_created_once(self, catalog) -> None:
        made = catalog.workspaces.create("team-a", created_by="ann")
        assert catalog.workspaces.all() == [catalog.workspaces.get(1), made]
        assert catalog.workspaces.get("team-a") == catalog.workspaces.get(made.id) == made
        with pytest.raises(Conflict, match="a workspace of that name exists"):
            catalog.workspaces.create("team-a", created_by="ann")

    def test_an_unknown_name_proposes_the_nearest_one(self, catalog) -> None:
        with pytest.raises(NotFound) as caught:
            catalog.workspaces.get("defualt")
        assert str(caught.value) == (
            "Workspace with name defualt does not exist\n"
            "  fix did you mean 'default'? If you would like to create one, send in the request with "
            "`create_if_not_exist` flag set to True."
        )

    @pytest.mark.parametrize("number", [0, -1, 2, 2**63, 10**30])
    def test_an_unknown_number_is_not_found(self, catalog, number) -> None:
        with pytest.raises(NotFound, match=f"Workspace with id {number} does not exist"):
            catalog.workspaces.get(number)
        for ask in (catalog.models.all, catalog.pipelines.all):
            with pytest.raises(NotFound):
                ask(number)

    def test_the_same_names_in_two_workspaces_are_two_things(self, filled) -> None:
        catalog = filled.catalog
        other = catalog.workspaces.create("other", created_by="ann")
        first, second = filled.version("m"), filled.version("m", workspace_id=other.id)
        assert first.model_id != second.model_id
        assert (first.number, second.number) == (1, 1)
        assert catalog.pipelines.create(1, "p").id != catalog.pipelines.create(other.id, "p").id
        assert [model.id for model in catalog.models.all(other.id)] == [second.model_id]


class TestModels:
    def test_an_upload_makes_the_model_and_the_next_one_a_version(self, filled) -> None:
        first = filled.version("ccfraud", data=b"one", file_name="fraud v1.onnx")
        second = filled.version("ccfraud", data=b"three")
        assert (first.number, second.number) == (1, 2)
        assert first.uuid != second.uuid
        assert first.model_id == second.model_id
        assert (first.sha, first.size, first.file_name) == (digest_of_bytes(b"one"), 3, "fraud v1.onnx")
        assert filled.catalog.models.versions(1, "ccfraud") == [second, first]
        model = filled.catalog.models.get(1, "ccfraud")
        assert (model.versions, model.updated_at) == (2, second.created_at)
        assert filled.catalog.models.all(1) == [model]
        other = filled.version("another", data=b"two")
        assert filled.catalog.models.newest_versions(1) == [other, second]
        assert filled.catalog.models.newest_versions(77) == []

    def test_a_version_is_found_by_number_and_by_uuid(self, filled) -> None:
        made = filled.version()
        assert filled.catalog.models.version(made.id) == filled.catalog.models.version(made.uuid) == made

    @pytest.mark.parametrize("key", [0, -5, 99, 2**70, "nonsense", "a\0b", "\ud800", ""])
    def test_an_unknown_version_is_not_found(self, filled, key) -> None:
        filled.version()
        with pytest.raises(NotFound, match="not found in this workspace"):
            filled.catalog.models.version(key)

    def test_an_unknown_model_proposes_the_nearest_one(self, filled) -> None:
        filled.version("ccfraud")
        for ask in (filled.catalog.models.get, filled.catalog.models.versions, filled.catalog.models.delete):
            with pytest.raises(NotFound) as caught:
                ask(1, "cc-fraud")
            assert caught.value.what == "A model with the name cc-fraud does not exist"
            assert caught.value.fix == "did you mean 'ccfraud'?"

    def test_settings_come_back_as_they_were(self, filled) -> None:
        settings = ModelSettings(
            name="m",
            framework=Framework.CUSTOM,
            input_schema=INPUTS,
            output_schema=OUTPUTS,
            tensor_fields=("tensor",),
            batch_config="single",
            example=({"tensor": [0.5, None, "\0"]},),
            tests=(Case(name="t", rows=({"a": 1},), expect=({"b": [1.5]},)),),
        )
        made = filled.version("m", framework=Framework.CUSTOM, settings=settings)
        again = filled.catalog.models.version(made.id)
        assert again.settings == settings
        assert again.settings.input_schema.equals(INPUTS, check_metadata=True)
        assert again.framework is Framework.CUSTOM

    def test_invalid_characters_in_texts_are_replaced(self, filled) -> None:
        made = filled.version("m", file_name="a\0b\ud800.zip")
        assert made.file_name == "a\N{REPLACEMENT CHARACTER}b?.zip"

    @pytest.mark.parametrize(
        ("framework", "status"),
        [
            (Framework.ONNX, VersionStatus.PENDING_LOAD_NATIVE),
            (Framework.CUSTOM, VersionStatus.PENDING_LOAD_CONTAINER),
            (Framework.PYTHON, VersionStatus.PENDING_LOAD_CONTAINER),
        ],
    )
    def test_a_new_version_waits_to_be_loaded(self, filled, framework, status) -> None:
        made = filled.version("m", framework=framework)
        assert made.status is status
        assert (made.loaded, made.fault, made.config) == (None, None, None)

    def test_versions_without_a_final_status_are_to_be_loaded(self, filled) -> None:
        a, b, c, d = (filled.version(name) for name in "abcd")
        filled.catalog.models.set_status(a.id, VersionStatus.ATTEMPTING_LOAD_NATIVE)
        filled.catalog.models.set_status(b.id, VersionStatus.ERROR, fault=Fault(error="BadPackage", what="no"))
        filled.catalog.models.set_status(c.id, VersionStatus.READY)
        assert [version.id for version in filled.catalog.models.versions_to_load()] == [a.id, d.id]

    def test_a_status_comes_with_the_loaded_model_or_the_fault(self, filled) -> None:
        loaded = LoadedModel(
            runtime=Runtime.ISOLATED,
            adapter="custom",
            entry={"inference": EntryPoint(file="a.py", name="A", line=3)},
            input_schema=INPUTS,
            output_schema=OUTPUTS,
            environment=digest_of_bytes(b"env"),
            requirements=("numpy==1.26.4",),
            python_version="3.10",
            notes=("a note",),
        )
        made = filled.version()
        ready = filled.catalog.models.set_status(made.id, VersionStatus.READY, loaded=loaded)
        assert ready == filled.catalog.models.version(made.id)
        assert (ready.status, ready.loaded, ready.fault) == (VersionStatus.READY, loaded, None)
        assert ready.updated_at >= made.updated_at
        fault = Fault(error="BadPackage", what="no module", why="because", fix="fix it", path="a.py:3", reason="x")
        wrong = filled.catalog.models.set_status(made.id, VersionStatus.ERROR, fault=fault)
        assert (wrong.status, wrong.loaded, wrong.fault) == (VersionStatus.ERROR, None, fault)

    def test_the_status_of_a_deleted_version_cannot_be_set(self, filled) -> None:
        made = filled.version()
        filled.catalog.models.delete(1, made.name)
        with pytest.raises(NotFound):
            filled.catalog.models.set_status(made.id, VersionStatus.READY)

    def test_a_package_is_in_use_while_a_version_has_its_bytes(self, filled, some_sha) -> None:
        assert not filled.catalog.models.package_in_use(some_sha)
        filled.version("a")
        filled.version("b")
        filled.catalog.models.delete(1, "a")
        assert filled.catalog.models.package_in_use(some_sha)
        filled.catalog.models.delete(1, "b")
        assert not filled.catalog.models.package_in_use(some_sha)

    def test_files_are_needed_while_a_version_without_an_error_has_them(self, filled, some_sha) -> None:
        assert not filled.catalog.models.package_runs(some_sha)
        refused, other = filled.version("a"), filled.version("b")
        filled.catalog.models.set_status(refused.id, VersionStatus.ERROR)
        assert filled.catalog.models.package_runs(some_sha)
        filled.catalog.models.set_status(other.id, VersionStatus.ERROR)
        assert not filled.catalog.models.package_runs(some_sha)
        assert filled.catalog.models.package_in_use(some_sha)

    def test_a_converted_file_is_in_use_like_a_package(self, filled, some_sha) -> None:
        converted = Digest("c0" * 32)
        loaded = LoadedModel(runtime=Runtime.NATIVE, converted=converted, input_schema=INPUTS, output_schema=OUTPUTS)
        filled.catalog.models.set_status(filled.version("a").id, VersionStatus.READY, loaded=loaded)
        assert filled.catalog.models.package_in_use(converted)
        filled.catalog.models.delete(1, "a")
        assert not filled.catalog.models.package_in_use(converted)

    def test_deleting_a_model_deletes_all_its_rows(self, filled) -> None:
        made = filled.version("m")
        config = filled.catalog.models.add_config(made.id)
        filled.catalog.journal.log_upload(made.id, level="info", stage="load", text="loading")
        filled.catalog.models.delete(1, "m")
        assert filled.catalog.models.all(1) == []
        assert filled.catalog.journal.upload_logs(made.id) == []
        for ask, key in ((filled.catalog.models.version, made.uuid), (filled.catalog.models.config, config.id)):
            with pytest.raises(NotFound):
                ask(key)

    def test_an_id_is_never_used_twice(self, filled) -> None:
        first = filled.version("m")
        filled.catalog.models.delete(1, "m")
        again = filled.version("m")
        assert again.id > first.id
        assert again.model_id > first.model_id
        assert again.number == 1


class TestConfigurations:
    def test_each_configuration_is_a_new_row_and_the_newest_is_used(self, filled) -> None:
        version, other = filled.version("m"), filled.version("other")
        first = filled.catalog.models.add_config(
            version.id, tensor_fields=("tensor", "b"), batch_config="single", input_schema=INPUTS
        )
        assert filled.catalog.models.version(version.id).config == first
        second = filled.catalog.models.add_config(
            version.id,
            tensor_fields=None,
            batch_config=None,
            input_schema=None,
            output_schema=OUTPUTS,
            max_batch_delay_ms=10,
            batch_size_target=8,
            batch_size_limit=16,
        )
        assert filled.catalog.models.config(first.id) == first
        assert filled.catalog.models.config(second.id) == second
        assert (first.tensor_fields, first.batch_config, first.output_schema) == (("tensor", "b"), "single", None)
        assert first.input_schema.equals(INPUTS, check_metadata=True)
        assert (second.max_batch_delay_ms, second.batch_size_target, second.batch_size_limit) == (10, 8, 16)
        assert [each.config for each in filled.catalog.models.versions(1, "m")] == [second]
        assert filled.catalog.models.version(other.id).config is None

    def test_a_configuration_needs_its_version(self, filled) -> None:
        with pytest.raises(NotFound):
            filled.catalog.models.add_config(77)
        for number in (0, 1, 2**80):
            with pytest.raises(NotFound, match="model configuration not found"):
                filled.catalog.models.config(number)


class TestPipelines:
    def test_a_pipeline_begins_with_a_version_without_steps(self, catalog) -> None:
        made = catalog.pipelines.create(1, "ccfraud")
        assert made.deployed is None
        assert [(version.number, version.steps) for version in made.versions] == [(1, ())]
        assert catalog.pipelines.get(1, "ccfraud") == catalog.pipelines.by_id(made.id) == made
        assert catalog.pipelines.all(1) == [made]
        assert catalog.pipelines.version(made.versions[0].uuid) == made.versions[0]
        assert catalog.deployments.of(made.id) is None

    def test_a_name_is_taken_once(self, catalog) -> None:
        catalog.pipelines.create(1, "p")
        before = catalog.revision()
        with pytest.raises(Conflict, match="a pipeline of that name exists"):
            catalog.pipelines.create(1, "p")
        assert catalog.revision() == before
        assert len(catalog.pipelines.all(1)) == 1

    def test_missing_pipelines_and_versions_are_not_found(self, catalog) -> None:
        catalog.pipelines.create(1, "ccfraud")
        with pytest.raises(NotFound) as caught:
            catalog.pipelines.get(1, "ccfruad")
        assert caught.value.what == "Pipeline ccfruad not found in this workspace"
        assert caught.value.fix == "did you mean 'ccfraud'?"
        with pytest.raises(NotFound, match="Pipeline version x not found in this workspace"):
            catalog.pipelines.version("x")
        for ask in (catalog.pipelines.by_id, catalog.deployments.undeploy):
            with pytest.raises(NotFound):
                ask(2**65)
        with pytest.raises(NotFound):
            catalog.deployments.deploy(12, steps=(), config=CONFIG)
        with pytest.raises(NotFound):
            catalog.pipelines.create(12, "p")
        assert catalog.deployments.of(2**65) is None

    def test_a_version_can_be_added_without_a_deploy(self, filled) -> None:
        made = filled.catalog.pipelines.create(1, "p")
        version = filled.catalog.pipelines.add_version(made.id, steps=[filled.step(filled.version())])
        assert version.number == 2
        assert filled.catalog.pipelines.get(1, "p").versions == (version, made.versions[0])
        assert filled.catalog.deployments.of(made.id) is None

    def test_a_pipeline_that_is_not_deployed_can_be_deleted(self, filled) -> None:
        deployment = filled.deployed("p", filled.version())
        with pytest.raises(Conflict) as caught:
            filled.catalog.pipelines.delete(1, "p")
        assert (caught.value.what, caught.value.fix) == ("pipeline 'p' is deployed", "undeploy it first")
        filled.catalog.deployments.undeploy(deployment.pipeline_id)
        filled.catalog.pipelines.delete(1, "p")
        assert filled.catalog.pipelines.all(1) == []
        assert filled.catalog.deployments.all() == []
        again = filled.deployed("p", filled.version())
        assert again.id > deployment.id


class TestDeployments:
    def test_a_deploy_adds_a_version_and_a_desired_state(self, filled) -> None:
        version = filled.version()
        config = filled.catalog.models.add_config(version.id)
        check = CheckStep(validations=(Validation(name="fraud", expression='{"Alias": []}'),))
        steps = (filled.step(version, config.id), check)
        pipeline = filled.catalog.pipelines.create(1, "p")
        made, deployment = filled.catalog.deployments.deploy(pipeline.id, steps=steps, config=CONFIG)
        assert (made.number, made.steps) == (2, steps)
        assert deployment.pipeline_version == made.uuid
        assert (deployment.pipeline, deployment.wanted, deployment.generation) == ("p", "running", 1)
        assert deployment.config == CONFIG
        assert deployment.status == DeploymentStatus(state=DeploymentState.STARTING, generation=0)
        assert filled.catalog.deployments.of(pipeline.id) == deployment
        assert filled.catalog.deployments.all() == [deployment]
        now = filled.catalog.pipelines.get(1, "p")
        assert now.deployed is True
        assert now.versions[0] == made

    def test_a_redeploy_keeps_the_deployment_and_adds_a_generation(self, filled) -> None:
        first = filled.deployed("p", filled.version("a"))
        second, deployment = filled.catalog.deployments.deploy(
            first.pipeline_id, steps=[filled.step(filled.version("b"))], config=CONFIG
        )
        assert deployment.id == first.id
        assert (deployment.generation, second.number) == (2, 3)
        again, deployment = filled.catalog.deployments.deploy(
            first.pipeline_id, version=first.pipeline_version, config=DeploymentConfig()
        )
        assert again.uuid == first.pipeline_version == deployment.pipeline_version
        assert deployment.generation == 3
        assert len(filled.catalog.pipelines.get(1, "p").versions) == 3

    def test_an_undeploy_sets_the_desired_state(self, filled) -> None:
        first = filled.deployed("p", filled.version())
        stopped = filled.catalog.deployments.undeploy(first.pipeline_id)
        assert (stopped.wanted, stopped.generation, stopped.id) == ("stopped", 2, first.id)
        assert stopped.pipeline_version == first.pipeline_version
        revision = filled.catalog.revision()
        assert filled.catalog.deployments.undeploy(first.pipeline_id) == stopped
        assert filled.catalog.revision() == revision
        assert filled.catalog.pipelines.get(1, "p").deployed is False

    def test_a_pipeline_without_a_deployment_cannot_be_undeployed(self, catalog) -> None:
        with pytest.raises(NotFound, match="pipeline 'p' was never deployed"):
            catalog.deployments.undeploy(catalog.pipelines.create(1, "p").id)

    def test_a_deploy_that_expects_another_generation_changes_nothing(self, filled) -> None:
        pipeline = filled.catalog.pipelines.create(1, "p")
        steps = [filled.step(filled.version())]
        filled.catalog.deployments.deploy(pipeline.id, steps=steps, config=CONFIG, expected_generation=0)
        before = filled.catalog.revision()
        with pytest.raises(Conflict, match="its generation is 1, and 0 was expected"):
            filled.catalog.deployments.deploy(pipeline.id, steps=steps, config=CONFIG, expected_generation=0)
        assert filled.catalog.revision() == before
        assert len(filled.catalog.pipelines.get(1, "p").versions) == 2
        filled.catalog.deployments.deploy(pipeline.id, steps=steps, config=CONFIG, expected_generation=1)

    def test_models_of_steps_must_exist(self, filled) -> None:
        version, other = filled.version("a"), filled.version("b")
        config = filled.catalog.models.add_config(other.id)
        pipeline = filled.catalog.pipelines.create(1, "p")
        unknown = ModelStep(name="gone", version="5e0c", sha=version.sha)
        for step in (unknown, filled.step(version, config.id), filled.step(version, 10**9)):
            with pytest.raises(NotFound, match=f"step '{step.name}' cannot be in a pipeline"):
                filled.catalog.deployments.deploy(pipeline.id, steps=[step], config=CONFIG)
        assert filled.catalog.deployments.of(pipeline.id) is None
        assert len(filled.catalog.pipelines.get(1, "p").versions) == 1

    def test_an_old_version_of_another_pipeline_is_refused(self, filled) -> None:
        first, other = filled.deployed("p", filled.version()), filled.catalog.pipelines.create(1, "q")
        with pytest.raises(NotFound, match="it is not a version of pipeline 'q'"):
            filled.catalog.deployments.deploy(other.id, version=first.pipeline_version, config=CONFIG)

    def test_a_deploy_takes_either_steps_or_a_version(self, filled) -> None:
        first = filled.deployed("p", filled.version())
        for given in ({}, {"steps": (), "version": first.pipeline_version}):
            with pytest.raises(Invalid):
                filled.catalog.deployments.deploy(first.pipeline_id, config=CONFIG, **given)

    def test_a_deployed_model_is_not_deleted(self, filled) -> None:
        a, b = filled.version("a"), filled.version("b")
        first = filled.deployed("p", a, b)
        filled.deployed("q", a)
        with pytest.raises(Conflict) as caught:
            filled.catalog.models.delete(1, "a")
        assert caught.value.message == "model 'a' is deployed: pipelines 'p', 'q' use it"
        with pytest.raises(Conflict, match="model 'b' is deployed: pipeline 'p' uses it"):
            filled.catalog.models.delete(1, "b")
        filled.catalog.deployments.undeploy(first.pipeline_id)
        filled.catalog.models.delete(1, "b")
        with pytest.raises(NotFound, match="was the model deleted"):
            filled.catalog.deployments.deploy(first.pipeline_id, version=first.pipeline_version, config=CONFIG)

    def test_only_some_of_many_pipelines_that_use_a_model_are_named(self, filled) -> None:
        version = filled.version("a")
        for number in range(7):
            filled.deployed(f"p{number}", version)
        with pytest.raises(Conflict, match="pipelines 'p0', 'p1', 'p2', 'p3', 'p4' and 2 more use it"):
            filled.catalog.models.delete(1, "a")

    def test_a_model_that_still_answers_during_an_update_is_not_deleted(self, filled) -> None:
        first = filled.deployed("p", filled.version("old"))
        running = DeploymentStatus(
            state=DeploymentState.RUNNING, generation=1, serving=first.pipeline_version, answered=first.pipeline_version
        )
        filled.catalog.deployments.set_status(first.id, running)
        filled.catalog.deployments.deploy(first.pipeline_id, steps=[filled.step(filled.version("new"))], config=CONFIG)
        with pytest.raises(Conflict, match="model 'old' is deployed"):
            filled.catalog.models.delete(1, "old")

    def test_a_status_of_an_older_generation_is_ignored(self, filled) -> None:
        deployment = filled.deployed("p", filled.version())
        worker = WorkerStatus(id="w", model="m", version="v", status=DeploymentState.ERROR, pid=3, reason="it died")
        later = DeploymentStatus(
            state=DeploymentState.ERROR,
            generation=2,
            serving="x",
            fault=Fault(error="Unavailable", what="no"),
            gateway="g",
            workers=(worker,),
        )
        filled.catalog.deployments.set_status(deployment.id, later)
        assert filled.catalog.deployments.of(deployment.pipeline_id).status == later
        revision = filled.catalog.revision()
        earlier = DeploymentStatus(state=DeploymentState.RUNNING, generation=1)
        filled.catalog.deployments.set_status(deployment.id, earlier)
        assert filled.catalog.deployments.of(deployment.pipeline_id).status == later
        filled.catalog.deployments.set_status(deployment.id, later)
        filled.catalog.deployments.set_status(10**6, later)
        assert filled.catalog.revision() == revision
        filled.catalog.deployments.set_status(deployment.id, DeploymentStatus(state="Running", generation=2))
        assert filled.catalog.deployments.of(deployment.pipeline_id).status.state is DeploymentState.RUNNING


class TestJournal:
    def test_an_upload_log_is_read_from_a_position(self, filled) -> None:
        version, other = filled.version("a"), filled.version("b")
        for text in ("one", "two", "three\0"):
            filled.catalog.journal.log_upload(version.id, level="info", stage="load", text=text)
        filled.catalog.journal.log_upload(other.id, level="error", stage="load", text="another's")
        lines = filled.catalog.journal.upload_logs(version.id)
        assert [line.text for line in lines] == ["one", "two", "three\N{REPLACEMENT CHARACTER}"]
        assert (lines[0].level, lines[0].stage, lines[0].at.tzinfo) == ("info", "load", UTC)
        assert filled.catalog.journal.upload_logs(version.id, after=lines[1].id) == lines[2:]
        with pytest.raises(NotFound):
            filled.catalog.journal.log_upload(10**6, level="info", stage="load", text="x")

    def test_events_are_read_from_a_position(self, catalog) -> None:
        other = catalog.workspaces.create("other", created_by="ann")
        for number in range(5):
            workspace_id = (1, other.id, None)[number % 3]
            catalog.journal.add_event(
                workspace_id=workspace_id, subject="version", subject_id=number, kind="uploaded", text=f"{number}"
            )
        seen = catalog.journal.events()
        assert [event.text for event in seen] == ["0", "1", "2", "3", "4"]
        assert (seen[0].subject, seen[0].subject_id, seen[0].kind) == ("version", "0", "uploaded")
        assert catalog.journal.events(after=seen[1].id, limit=2) == seen[2:4]
        assert [event.text for event in catalog.journal.events(workspace_id=other.id)] == ["1", "4"]

    def test_old_events_are_deleted(self, catalog) -> None:
        catalog.journal.add_event(workspace_id=1, subject="version", subject_id="a", kind="uploaded", text="first")
        first = catalog.journal.events()[0]
        with catalog._database.writing() as connection:
            connection.exec_driver_sql(
                "INSERT INTO events (id, at, subject, subject_id, kind, text)"
                f" SELECT {first.id + EVENTS_KEPT}, at, subject, subject_id, kind, 'later' FROM events"
            )
            if catalog.database == "postgresql":
                connection.exec_driver_sql("SELECT setval('events_id_seq', (SELECT max(id) FROM events))")
        catalog.journal.add_event(workspace_id=1, subject="version", subject_id="a", kind="uploaded", text="last")
        assert [event.text for event in catalog.journal.events()] == ["later", "last"]


class TestAll:
    def test_every_write_increments_the_revision(self, filled) -> None:
        catalog = filled.catalog
        version = filled.version()
        deployment = filled.deployed("p", version)
        status = DeploymentStatus(state=DeploymentState.RUNNING, generation=1)
        writes = [
            lambda: catalog.workspaces.create("w", created_by="x"),
            lambda: filled.version("other"),
            lambda: catalog.models.set_status(version.id, VersionStatus.READY),
            lambda: catalog.journal.log_upload(version.id, level="info", stage="x", text="y"),
            lambda: catalog.models.add_config(version.id),
            lambda: catalog.pipelines.create(1, "q"),
            lambda: catalog.deployments.deploy(deployment.pipeline_id, steps=(), config=CONFIG),
            lambda: catalog.deployments.set_status(deployment.id, status),
            lambda: catalog.deployments.undeploy(deployment.pipeline_id),
            lambda: catalog.journal.add_event(workspace_id=1, subject="s", subject_id=1, kind="k", text="t"),
            lambda: catalog.pipelines.delete(1, "p"),
            lambda: catalog.models.delete(1, "other"),
        ]
        for write in writes:
            before = catalog.revision()
            write()
            assert catalog.revision() == before + 1

    def test_everything_is_kept_after_opening_again(self, url, fill) -> None:
        catalog = open_catalog(url)
        deployment = fill(catalog).deployed("p", fill(catalog).version())
        before = (catalog.revision(), catalog.pipelines.all(1), catalog.models.versions(1, "ccfraud"))
        catalog.close()
        again = open_catalog(url)
        assert (again.revision(), again.pipelines.all(1), again.models.versions(1, "ccfraud")) == before
        assert again.deployments.all() == [deployment]
        again.close()

    def test_two_hundred_deployments_take_one_query(self, filled) -> None:
        version = filled.version()
        for number in range(200):
            filled.deployed(f"p{number}", version)
        assert len(filled.catalog.deployments.all()) == 200
        assert queries(filled.catalog, filled.catalog.deployments.all) == 1
        assert queries(filled.catalog, lambda: filled.catalog.pipelines.all(1)) == 4
        assert queries(filled.catalog, filled.catalog.models.versions_to_load) == 1
        assert queries(filled.catalog, filled.catalog.revision) == 1
