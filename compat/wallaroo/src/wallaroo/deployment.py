"""A pipeline's deployment, as `pipeline._deployment`."""

from trivet import Pipeline
from wallaroo.object import DeploymentError

__all__ = ["Deployment", "WaitForDeployError", "WaitForError"]

WaitForError = DeploymentError
WaitForDeployError = DeploymentError


class Deployment:
    """What runs a pipeline.

    Args:
        pipeline: whose deployment it is.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def name(self) -> str:
        """The pipeline's name."""
        return self._pipeline.name()

    def url(self) -> str:
        """The pipeline's URL for predictions.

        Raises:
            EntityNotFoundError: it is not deployed.
        """
        return self._pipeline.url()

    def _url(self) -> str:
        """`url`, by the name that notebooks use."""
        return self.url()
