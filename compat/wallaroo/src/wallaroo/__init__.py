"""The names of the Wallaroo SDK over Trivet's client: a notebook for that SDK runs after a change of its connection settings."""

from wallaroo import (
    assay_config,
    auth,
    continuous_batching_config,
    deployment,
    deployment_config,
    dynamic_batching_config,
    engine_config,
    framework,
    model,
    model_version,
    object,  # noqa: A004 - the reference's name for its module of errors
    openai_config,
    pipeline,
    tag,
    workspace,
)
from wallaroo.client import Client
from wallaroo.deployment_config import DeploymentConfigBuilder

__version__ = "0.1.0"

__all__ = [
    "Client",
    "DeploymentConfigBuilder",
    "__version__",
    "assay_config",
    "auth",
    "continuous_batching_config",
    "deployment",
    "deployment_config",
    "dynamic_batching_config",
    "engine_config",
    "framework",
    "model",
    "model_version",
    "object",
    "openai_config",
    "pipeline",
    "tag",
    "workspace",
]
