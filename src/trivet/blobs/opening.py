"""From a URL to a blob store."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from trivet.blobs.local import LocalBlobs
from trivet.blobs.protocol import Blobs
from trivet.errors import Invalid

__all__ = ["open_blobs"]

FORMS = "give file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
REMOTE = {"s3", "gs", "az"}


def open_blobs(url: str | None, *, home: Path) -> Blobs:
    """The blob store at a URL. Nothing is read or written yet.

    Args:
        url: `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`. Credentials, region
            and endpoint of object stores come from the environment, under the names that their own tools use. None is
            the folder `blobs` in the home.
        home: where Trivet keeps its own files.

    Raises:
        Invalid: the URL is invalid or holds credentials, or the environment lacks what the store requires.
    """
    if url is None:
        return LocalBlobs(home / "blobs")
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query:
        raise Invalid(
            "The blob URL holds credentials or a query",
            why="URLs appear in logs",
            fix="leave them out; set the variables that the store's own tools read, as AWS_ACCESS_KEY_ID",
        )
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        if parts.netloc not in {"", "localhost"} or not folder.is_absolute():
            raise Invalid(f"The blob URL {url!r} does not name a folder of this machine", fix="give file:///folder")
        return LocalBlobs(folder)
    if parts.scheme not in REMOTE or not parts.netloc:
        raise Invalid(f"The blob URL {url!r} has an unknown scheme", fix=FORMS)
    # This imports a library of several megabytes, which a local store does not need.
    from trivet.blobs.remote import RemoteBlobs

    return RemoteBlobs(url, spool=home / "uploads")
