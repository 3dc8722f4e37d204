"""The environments below the home, and what receives the progress of loading."""

from typing import Protocol

from trivet.envs import Confined, EnvironmentStore
from trivet.settings import Settings, process_environ
from trivet.workers.devices import find_devices

__all__ = ["Report", "environment_store"]


class Report(Protocol):
    """Receives progress: a stage, a detail, and counts."""

    def __call__(self, stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
        """Report progress."""


def environment_store(settings: Settings) -> EnvironmentStore:
    """The environments below the home."""
    return EnvironmentStore(
        settings.home / "envs",
        environ=process_environ(),
        source_builds=settings.source_builds,
        cuda=settings.cuda_packages == "always" or bool(find_devices(process_environ())),
        confined=Confined(mode=settings.sandbox, hidden=settings.home, readable=settings.worker_read),
    )
