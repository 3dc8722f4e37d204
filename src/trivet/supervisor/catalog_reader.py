"""What is wanted, read from the catalog."""

from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from trivet.domain.deployment import Deployment, DeploymentStatus
from trivet.domain.pipeline import PipelineVersion
from trivet.domain.version import ModelConfig, ModelVersion
from trivet.supervisor.desired import DesiredPipeline, DesiredState, Stopping

__all__ = ["CatalogReader", "Reading", "Records"]


class Records(Protocol):
    """What the supervisor asks of the catalog in order to know what is wanted."""

    def revision(self) -> int:
        """Another one after each write."""

    def deployments(self) -> list[Deployment]:
        """All of them."""

    def pipeline_version(self, uuid: str) -> PipelineVersion:
        """The steps of one deploy."""

    def version(self, id_or_uuid: int | str) -> ModelVersion:
        """A model version."""

    def config(self, config_id: int) -> ModelConfig:
        """A configuration of one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the catalog said.

    Attributes:
        revision: at which it said so.
        statuses: that it has, by deployment.
        workspaces: of the deployments.
        served: by deployment, what answered requests last, where that is another version than the wanted one.
    """

    revision: int
    wanted: DesiredState
    statuses: dict[int, DeploymentStatus] = field(default_factory=dict)
    workspaces: dict[int, int] = field(default_factory=dict)
    served: dict[int, DesiredPipeline] = field(default_factory=dict)


class CatalogReader:
    """Reads the catalog when it has changed. Blocks: to be called in a thread, one call at a time."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._last: Reading | None = None
        self._versions: dict[str, PipelineVersion] = {}

    def read(self) -> Reading | None:
        """What is wanted now; None if nothing has changed since the last call.

        Raises:
            TrivetError: the catalog cannot be reached, or contradicts itself.
        """
        # Asked first: what is written in between is read again.
        revision = self._records.revision()
        if self._last is not None and self._last.revision == revision:
            return None
        deployments = self._records.deployments()
        # Versions never change; those that nobody wants any more are forgotten.
        wanted = {
            uuid
            for each in deployments
            if each.wanted == "running"
            for uuid in (each.pipeline_version, each.status.answered)
            if uuid is not None
        }
        self._versions = {
            uuid: self._versions.get(uuid) or self._records.pipeline_version(uuid) for uuid in sorted(wanted)
        }
        self._last = Reading(
            revision=revision,
            wanted=DesiredState(
                running=tuple(self._wish(each) for each in deployments if each.wanted == "running"),
                stopped=tuple(
                    Stopping(deployment_id=each.id, generation=each.generation)
                    for each in deployments
                    if each.wanted == "stopped"
                ),
            ),
            statuses={each.id: each.status for each in deployments},
            workspaces={each.id: each.workspace_id for each in deployments},
            served={
                each.id: self._wish_before(each, each.status.answered)
                for each in deployments
                if each.wanted == "running" and each.status.answered not in {None, each.pipeline_version}
            },
        )
        return self._last

    def _wish_before(self, deployment: Deployment, version: str | None) -> DesiredPipeline:
        # Of an earlier generation: nobody who waits for the newest one must take it for that.
        before = msgspec.structs.replace(deployment, pipeline_version=version, generation=deployment.generation - 1)
        return self._wish(before)

    def _wish(self, deployment: Deployment) -> DesiredPipeline:
        return DesiredPipeline(
            deployment_id=deployment.id,
            workspace_id=deployment.workspace_id,
            pipeline=deployment.pipeline,
            pipeline_version=deployment.pipeline_version,
            generation=deployment.generation,
            steps=self._versions[deployment.pipeline_version].steps,
            config=deployment.config,
        )
