"""The contract of blob stores, for a local folder and for an object store that speaks S3."""

from pathlib import Path

import pytest

from contracts.blobs import BlobsContract
from trivet.blobs import Blobs, open_blobs
from trivet_tests.object_store import ObjectStore, object_store

__all__ = ["TestLocalFolders", "TestObjectStores", "object_store"]


class TestLocalFolders(BlobsContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        return open_blobs(None, home=tmp_path / "home")


class TestObjectStores(BlobsContract):
    @pytest.fixture
    def blobs(self, object_store: ObjectStore, tmp_path: Path) -> Blobs:
        del object_store  # its address is in the environment
        return open_blobs("s3://bucket/models", home=tmp_path / "home")
