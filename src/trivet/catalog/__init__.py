"""What exists and what is to run: workspaces, models, pipelines, deployments, in SQLite or PostgreSQL."""

from trivet.catalog.catalog import Catalog, open_catalog
from trivet.domain.events import Event, UploadLogLine

__all__ = ["Catalog", "Event", "UploadLogLine", "open_catalog"]
