"""How a pipeline is to run."""

from typing import Any, Self, TypeAlias

import trivet
from wallaroo.object import REPLICAS, NotThereYetError, absent

__all__ = ["DeploymentConfig", "DeploymentConfigBuilder"]

DeploymentConfig: TypeAlias = dict[str, Any]


class DeploymentConfigBuilder(trivet.DeploymentConfigBuilder):
    """Builds a deployment configuration.

    Args:
        workspace_id: ignored.
    """

    def __init__(self, workspace_id: int | None = None) -> None:
        del workspace_id
        super().__init__()

    def gpus(self, gpu_count: int) -> Self:
        """Graphics processors for native models; only 0 is supported yet.

        Raises:
            NotThereYetError: it is not 0.
        """
        if gpu_count:
            raise NotThereYetError(
                "GPUs for models that run in the gateway are not supported yet",
                fix="leave gpus out; sidekick_gpus gives GPUs to a model in a worker",
            )
        return self

    replica_autoscale_min_max = absent("autoscaling is", fix=REPLICAS)
    autoscaling_window = absent("autoscaling is", fix=REPLICAS)
    scale_up_queue_depth = absent("autoscaling is", fix=REPLICAS)
    scale_down_queue_depth = absent("autoscaling is", fix=REPLICAS)
