"""A blob store in an object store that speaks S3."""

from pathlib import Path

import pytest

from trivet.blobs import Blobs, open_blobs
from trivet_tests.object_store import ObjectStore, object_store

__all__ = ["object_store", "remote"]


@pytest.fixture
def remote(object_store: ObjectStore, tmp_path: Path) -> Blobs:
    """A blob store in `object_store`."""
    return open_blobs("s3://bucket/models", home=tmp_path / "home")
