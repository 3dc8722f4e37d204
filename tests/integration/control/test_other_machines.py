"""A version for another kind of machine is ready, says so, and is not deployed here."""

from dataclasses import replace

import pytest

from trivet.domain.machines import Machine, refusal_elsewhere
from trivet.domain.version import Architecture, LoadedModel, VersionStatus

GRAVITON = Machine(arch=Architecture.ARM)


def untried(api, name: str = "fraud", **said: str) -> dict:
    """A version that was not tried, as the supervisor records it."""
    version = api.ready(name, **said)
    known = api.control.catalog.models.version(version["uuid"]).loaded
    loaded = LoadedModel(
        runtime=known.runtime,
        input_schema=known.input_schema,
        output_schema=known.output_schema,
        refusal=refusal_elsewhere("arm", api.control.machine),
    )
    api.control.catalog.models.set_status(version["id"], VersionStatus.READY, loaded=loaded)
    return api.call("GET", f"/v1/versions/{version['uuid']}")


def deploy_of(api, version: dict, **said) -> dict:
    api.call("POST", "/v1/pipelines", json={"name": "pipe"})
    steps = [{"step": "model", "version": version["uuid"]}]
    return api.refused(409, "POST", "/v1/pipelines/pipe/deploy", json={"steps": steps, **said})


def test_a_version_that_was_not_tried_is_ready_and_says_why(api) -> None:
    version = untried(api, arch="arm")
    assert (version["status"], version["answers"], version["where"]) == ("ready", False, None)
    assert (version["where_why"], version["batching"]) == (None, None)
    assert version["error_summary"].startswith("not tried: built for arm: this machine has an x86 processor")
    assert version["fault"]["reason"] == "other_machine"


def test_a_deploy_of_a_version_for_another_machine_is_refused(api) -> None:
    refusal = deploy_of(api, untried(api, arch="arm"))
    assert refusal["error"].startswith("model 'fraud' version 1 is built for arm: this machine has an x86 processor")
    assert refusal["reason"] == "other_machine"
    assert "TRIVET_STAND_IN=true, and upload it again" in refusal["fix"]


def test_a_version_that_ran_before_is_refused_without_the_setting(api) -> None:
    version = api.ready(accel="cuda")
    assert "is built for cuda" in deploy_of(api, version)["error"]
    standing_in = api.with_settings(stand_in=True)
    assert standing_in.deploy("pipe", version)["deployment"]["wanted"] == "running"


def test_an_untried_version_is_uploaded_again_to_stand_in(api) -> None:
    refusal = deploy_of(api.with_settings(stand_in=True), untried(api, arch="arm"))
    assert (refusal["fix"], refusal["reason"]) == ("upload it again", "other_machine")


def test_a_version_for_no_machine_in_particular_is_built_for_the_platforms(api) -> None:
    assert api.upload()["arch"] == "x86"
    arm = replace(api, control=replace(api.control, machine=GRAVITON))
    version = arm.ready("other")
    assert version["arch"] == "arm"
    assert arm.deploy("pipe", version)["deployment"]["wanted"] == "running"


@pytest.mark.parametrize("arch", ["arm", "power10"])
def test_a_deployment_that_names_another_processor_is_refused(api, arch: str) -> None:
    refusal = deploy_of(api, api.ready(), config={"engine": {"arch": arch}})
    assert refusal["error"].startswith(f"the deployment is configured for '{arch}': this machine has an x86 processor")
    assert (refusal["path"], refusal["reason"]) == ("engine.arch", "other_machine")


def test_a_deployment_that_names_this_processor_is_taken(api) -> None:
    api.deploy("pipe", api.ready(), config={"engine": {"arch": "x86"}})
    api.with_settings(stand_in=True).deploy("other", api.ready("other"), config={"engine": {"arch": "arm"}})
