"""The native routes, thin over the use cases."""

from typing import Annotated

from fastapi import Path, Query

__all__ = ["MOST_ID", "ModelName", "PipelineName", "Workspace"]

Workspace = Annotated[str, Query(description="A workspace's name.")]
ModelName = Annotated[str, Path(description="The model's name.")]
PipelineName = Annotated[str, Path(description="The pipeline's name.")]
MOST_ID = 2**63 - 1
"""What a database counts to."""
