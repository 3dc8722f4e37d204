"""Trivet: a stand for any Python model."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trivet.domain.frameworks import Framework
    from trivet.domain.version import Acceleration, Architecture
    from trivet.errors import ModelUploadError, TrivetError
    from trivet.sdk.aio import AsyncClient
    from trivet.sdk.client import Client
    from trivet.sdk.config import DeploymentConfigBuilder, DynamicBatchingConfig
    from trivet.sdk.model import ModelVersion
    from trivet.sdk.pipeline import Pipeline
    from trivet.sdk.schema import Schema
    from trivet.sdk.workspace import Workspace

__version__ = "0.1.0"

# Imported on first use: `import trivet` is cheap, and does not import pandas.
_WHERE: Final = {
    "Acceleration": "trivet.domain.version",
    "Architecture": "trivet.domain.version",
    "AsyncClient": "trivet.sdk.aio",
    "Client": "trivet.sdk.client",
    "DeploymentConfigBuilder": "trivet.sdk.config",
    "DynamicBatchingConfig": "trivet.sdk.config",
    "Framework": "trivet.domain.frameworks",
    "ModelUploadError": "trivet.errors",
    "ModelVersion": "trivet.sdk.model",
    "Pipeline": "trivet.sdk.pipeline",
    "Schema": "trivet.sdk.schema",
    "TrivetError": "trivet.errors",
    "Workspace": "trivet.sdk.workspace",
}

__all__ = [
    "Acceleration",
    "Architecture",
    "AsyncClient",
    "Client",
    "DeploymentConfigBuilder",
    "DynamicBatchingConfig",
    "Framework",
    "ModelUploadError",
    "ModelVersion",
    "Pipeline",
    "Schema",
    "TrivetError",
    "Workspace",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'trivet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
