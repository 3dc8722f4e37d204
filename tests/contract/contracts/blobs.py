"""What every blob store keeps. A store has one subclass of `BlobsContract`."""

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trivet.blobs import Blobs
from trivet.domain.digest import Digest, digest_of_bytes
from trivet.errors import Invalid, NotFound

SMALL = b"onnx" * 1000
# Larger than one part of an upload in parts, and no multiple of anything.
LARGE = os.urandom(1 << 20) * 33 + b"the end"
NOBODYS = digest_of_bytes(b"nobody has this")


def read(blobs: Blobs, digest: Digest) -> bytes:
    with blobs.open(digest) as chunks:
        return b"".join(chunks)


def in_pieces(data: bytes, size: int = 700_001) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


class BlobsContract:
    """Subclass it with a fixture `blobs`, an empty store."""

    @pytest.mark.parametrize("data", [b"", b"x", SMALL, LARGE], ids=["empty", "one byte", "small", "large"])
    @pytest.mark.parametrize("source", [io.BytesIO, in_pieces, lambda data: [data]], ids=["file", "iterator", "list"])
    def test_what_is_put_is_found_read_and_fetched_as_it_was(
        self, blobs: Blobs, data: bytes, source, tmp_path: Path
    ) -> None:
        digest, size = blobs.put(source(data))
        assert (digest, size) == (hashlib.sha256(data).hexdigest(), len(data))
        assert blobs.has(digest)
        assert read(blobs, digest) == data
        target = tmp_path / "new folder" / "model.zip"
        blobs.fetch(digest, target)
        assert target.read_bytes() == data
        assert list(target.parent.iterdir()) == [target]

    def test_a_file_is_read_from_where_it_stands(self, blobs: Blobs) -> None:
        file = io.BytesIO(b"skipped" + SMALL)
        file.seek(7)
        assert blobs.put(file)[0] == digest_of_bytes(SMALL)

    def test_a_pipe_can_be_put(self, blobs: Blobs) -> None:
        reading, writing = os.pipe()

        def feed() -> None:
            with os.fdopen(writing, "wb") as end:
                end.write(LARGE)

        thread = threading.Thread(target=feed)
        thread.start()
        with os.fdopen(reading, "rb") as source:
            digest, _ = blobs.put(source)
        thread.join()
        assert read(blobs, digest) == LARGE

    def test_the_announced_digest_is_checked_before_anything_is_kept(self, blobs: Blobs) -> None:
        with pytest.raises(Invalid) as caught:
            blobs.put(io.BytesIO(SMALL), digest=NOBODYS)
        assert caught.value.reason == "wrong_digest"
        assert caught.value.why == f"their sha256 is {digest_of_bytes(SMALL)}, and not {NOBODYS}"
        assert not blobs.has(NOBODYS)
        assert not blobs.has(digest_of_bytes(SMALL))

    @pytest.mark.parametrize("so_far", [SMALL, LARGE], ids=["early", "late"])
    def test_a_source_that_breaks_off_says_so_itself_and_leaves_nothing(self, blobs: Blobs, so_far: bytes) -> None:
        def breaking() -> Iterator[bytes]:
            yield from in_pieces(so_far)
            raise ConnectionResetError("the client went away")

        with pytest.raises(ConnectionResetError, match="the client went away"):
            blobs.put(breaking())
        assert not blobs.has(digest_of_bytes(so_far))

    def test_the_same_bytes_can_be_put_again_and_by_many_at_once(self, blobs: Blobs) -> None:
        digests: list[Digest] = []
        threads = [threading.Thread(target=lambda: digests.append(blobs.put(in_pieces(LARGE))[0])) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert digests == [digest_of_bytes(LARGE)] * 4
        assert read(blobs, digests[0]) == LARGE

    def test_what_is_deleted_is_gone_and_may_be_deleted_again(self, blobs: Blobs) -> None:
        digest, _ = blobs.put(io.BytesIO(SMALL))
        blobs.delete(digest)
        blobs.delete(digest)
        assert not blobs.has(digest)

    def test_what_is_not_there_is_an_error_that_says_where_to_look(self, blobs: Blobs, tmp_path: Path) -> None:
        assert not blobs.has(NOBODYS)
        with pytest.raises(NotFound, match=f"Stored package {NOBODYS[:12]} not found") as caught, blobs.open(NOBODYS):
            pass
        assert caught.value.reason == "no_blob"
        with pytest.raises(NotFound):
            blobs.fetch(NOBODYS, tmp_path / "target")
        assert not (tmp_path / "target").exists()

    @pytest.mark.parametrize(
        "name", ["../../etc/passwd", "", "A" * 64, "a" * 63, "a" * 65, "a" * 63 + "\n", "a" * 64 + "/"]
    )
    def test_only_a_digest_is_a_name(self, blobs: Blobs, name: str, tmp_path: Path) -> None:
        calls = [
            lambda: blobs.has(Digest(name)),
            lambda: blobs.delete(Digest(name)),
            lambda: blobs.fetch(Digest(name), tmp_path / "target"),
            lambda: blobs.put(io.BytesIO(b"x"), digest=Digest(name)),
            lambda: blobs.open(Digest(name)).__enter__(),
        ]
        for call in calls:
            with pytest.raises(Invalid, match="is not a sha256"):
                call()

    def test_a_blob_is_fetched_over_an_older_file_whole_or_not_at_all(self, blobs: Blobs, tmp_path: Path) -> None:
        digest, _ = blobs.put(io.BytesIO(SMALL))
        target = tmp_path / "model.onnx"
        target.write_bytes(b"older")
        blobs.fetch(digest, target)
        blobs.fetch(digest, target)
        assert target.read_bytes() == SMALL
        with pytest.raises(NotFound):
            blobs.fetch(NOBODYS, target)
        assert target.read_bytes() == SMALL
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    def test_reading_only_a_part_is_allowed(self, blobs: Blobs) -> None:
        digest, _ = blobs.put(io.BytesIO(LARGE))
        with blobs.open(digest) as chunks:
            assert LARGE.startswith(next(chunks))
