"""What only an object store can do to its blobs."""

import io
import os
import re
from pathlib import Path

import pytest

from trivet.blobs import Blobs, open_blobs
from trivet.domain.digest import digest_of_bytes
from trivet.errors import Internal, Unavailable

LARGE = os.urandom(1 << 20) * 40


def key(data: bytes) -> str:
    return f"bucket/models/{digest_of_bytes(data)}"


def test_an_object_is_called_by_its_digest_below_the_prefix(remote: Blobs, object_store) -> None:
    remote.put(io.BytesIO(b"small"))
    assert object_store.objects == {key(b"small"): b"small"}


def test_a_large_file_goes_and_comes_in_parts(remote: Blobs, object_store, tmp_path: Path) -> None:
    remote.put(io.BytesIO(LARGE))
    remote.fetch(digest_of_bytes(LARGE), tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == LARGE
    assert object_store.requests.count(f"PUT {key(LARGE)} partNumber") == 5
    assert object_store.requests.count(f"GET {key(LARGE)}") == 5
    assert object_store.unfinished == {}


def test_a_file_that_changes_between_hashing_and_sending_is_not_kept(remote: Blobs, object_store) -> None:
    class Changing(io.BytesIO):
        def seek(self, *where: int) -> int:
            self.getbuffer()[5] ^= 1
            return super().seek(*where)

    for data in (b"a small one", LARGE):
        with pytest.raises(Internal) as caught:
            remote.put(Changing(data))
        assert caught.value.reason == "corrupt_blob"
    assert object_store.objects == {}
    assert object_store.unfinished == {}


@pytest.mark.parametrize("data", [b"a small one", LARGE], ids=["small", "large"])
def test_bytes_that_the_store_changed_are_noticed_when_they_are_read(
    remote: Blobs, object_store, data: bytes, tmp_path: Path
) -> None:
    digest, _ = remote.put(io.BytesIO(data))
    object_store.objects[key(data)] = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(Internal) as caught, remote.open(digest) as chunks:
        for _ in chunks:
            pass
    assert caught.value.reason == "corrupt_blob"
    with pytest.raises(Internal, match=f"The stored package {digest[:12]} is damaged"):
        remote.fetch(digest, tmp_path / "target")
    assert list(tmp_path.glob("*target*")) == []
    # The advice that the error gives.
    remote.put(io.BytesIO(data))
    remote.fetch(digest, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data


def test_a_store_that_refuses_access_is_named_without_secrets(remote: Blobs, object_store) -> None:
    object_store.refuse = 403
    with pytest.raises(Unavailable) as caught:
        remote.has(digest_of_bytes(b""))
    assert caught.value.what == "The blob store s3://bucket/models refuses access"
    assert "hush-hush" not in str(caught.value)


def test_a_store_that_is_away_is_unavailable_and_back_when_it_is_back(
    remote: Blobs, object_store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digest, _ = remote.put(io.BytesIO(b"x"))
    working = os.environ["AWS_ENDPOINT_URL"]
    # Nobody listens on port 9 of loopback, and a store that is told so asks a few times before it says so.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = open_blobs("s3://bucket/models", home=tmp_path)
    for call in (
        lambda: away.has(digest),
        lambda: away.fetch(digest, tmp_path / "t"),
        lambda: away.put(io.BytesIO(b"y")),
    ):
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.what == "The blob store s3://bucket/models cannot be reached"
        assert not re.search(r"\?|@", caught.value.why or "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", working)
    assert open_blobs("s3://bucket/models", home=tmp_path).has(digest)


def test_a_source_that_is_read_once_is_spooled_and_the_spool_emptied(remote: Blobs, tmp_path: Path) -> None:
    remote.put(iter([LARGE]))
    assert list((tmp_path / "home" / "uploads").iterdir()) == []
