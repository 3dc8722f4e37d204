"""Reads the desired state from the catalog."""

import contextlib
from dataclasses import dataclass, field

import msgspec

from trivet.catalog import Catalog
from trivet.domain.deployment import Deployment, DeploymentStatus
from trivet.domain.pipeline import ModelStep, PipelineVersion
from trivet.errors import NotFound
from trivet.supervisor.desired import DesiredPipeline, DesiredState, Stopping

__all__ = ["CatalogReader", "Reading"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The desired state at one revision of the catalog.

    Attributes:
        revision: of the catalog.
        statuses: those in the catalog, by deployment.
        workspaces: of the deployments.
        served: by deployment, the version that answered requests last, if it is not the desired one.
    """

    revision: int
    desired: DesiredState
    statuses: dict[int, DeploymentStatus] = field(default_factory=dict)
    workspaces: dict[int, int] = field(default_factory=dict)
    served: dict[int, DesiredPipeline] = field(default_factory=dict)


class CatalogReader:
    """Reads the catalog when it has changed. Blocks: call it in a thread, one call at a time."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._last: Reading | None = None
        self._versions: dict[str, PipelineVersion] = {}
        # Pipeline versions whose models are all loaded, or failed to load: that is final.
        self._loaded: set[str] = set()

    def read(self) -> Reading | None:
        """The desired state; None if nothing has changed since the last call.

        Raises:
            TrivetError: the catalog is unreachable or inconsistent.
        """
        # Read the revision first: later writes are then read again.
        revision = self._catalog.revision()
        if self._last is not None and self._last.revision == revision:
            return None
        deployments = self._catalog.deployments.all()
        # Versions never change; drop those that are not desired any more.
        versions = {
            uuid
            for each in deployments
            if each.wanted == "running"
            for uuid in (each.pipeline_version, each.status.answered)
            if uuid is not None
        }
        self._versions = {
            uuid: self._versions.get(uuid) or self._catalog.pipelines.version(uuid) for uuid in sorted(versions)
        }
        self._loaded &= self._versions.keys()
        self._last = Reading(
            revision=revision,
            desired=DesiredState(
                running=tuple(
                    desired
                    for each in deployments
                    if each.wanted == "running" and (desired := self._running(each)) is not None
                ),
                stopped=tuple(
                    Stopping(deployment_id=each.id, generation=each.generation)
                    for each in deployments
                    if each.wanted == "stopped"
                ),
            ),
            statuses={each.id: each.status for each in deployments},
            workspaces={each.id: each.workspace_id for each in deployments},
            served={
                each.id: self._desired_before(each, each.status.answered)
                for each in deployments
                if each.wanted == "running" and each.status.answered not in {None, each.pipeline_version}
            },
        )
        return self._last

    def _running(self, deployment: Deployment) -> DesiredPipeline | None:
        """What is to run: while a model of the newest version is loading, the version that answered last, or nothing."""
        if not self._is_loading(deployment.pipeline_version):
            return self._desired(deployment)
        answered = deployment.status.answered
        return None if answered is None else self._desired_before(deployment, answered)

    def _is_loading(self, version: str) -> bool:
        if version in self._loaded:
            return False
        for step in self._versions[version].steps:
            # A version that was deleted is an error of the deployment, which its preparation reports.
            with contextlib.suppress(NotFound):
                if isinstance(step, ModelStep) and not self._catalog.models.version(step.version).status.is_final:
                    return True
        self._loaded.add(version)
        return False

    def _desired_before(self, deployment: Deployment, version: str | None) -> DesiredPipeline:
        # Of an earlier generation, so that a client that waits for the newest one does not take it for that.
        before = msgspec.structs.replace(deployment, pipeline_version=version, generation=deployment.generation - 1)
        return self._desired(before)

    def _desired(self, deployment: Deployment) -> DesiredPipeline:
        return DesiredPipeline(
            deployment_id=deployment.id,
            workspace_id=deployment.workspace_id,
            pipeline=deployment.pipeline,
            pipeline_version=deployment.pipeline_version,
            generation=deployment.generation,
            steps=self._versions[deployment.pipeline_version].steps,
            config=deployment.config,
        )
