"""Uploaded files by the sha256 of their bytes: in a local folder, or in an object store."""

from trivet.blobs.opening import open_blobs
from trivet.blobs.protocol import Blobs
from trivet.blobs.settling import settling

__all__ = ["Blobs", "open_blobs", "settling"]
