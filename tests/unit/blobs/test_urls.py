"""Which blob store a URL means, and what is said about URLs that mean none."""

from pathlib import Path

import pytest

from trivet.blobs import open_blobs
from trivet.blobs.local import LocalBlobs
from trivet.blobs.remote import RemoteBlobs
from trivet.errors import Invalid, TrivetError

HOME = Path("/nonexistent/home")


def test_without_a_url_it_is_a_folder_of_the_home_which_is_not_made_yet() -> None:
    assert isinstance(open_blobs(None, home=HOME), LocalBlobs)
    assert not HOME.exists()


@pytest.mark.parametrize("url", ["file:///var/lib/blobs", "file://localhost/var/lib/blobs", "file:///with%20space"])
def test_a_file_url_is_a_folder(url: str) -> None:
    assert isinstance(open_blobs(url, home=HOME), LocalBlobs)


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/a/b", "gs://bucket/prefix", "az://container/prefix"])
def test_object_stores_are_opened_without_being_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert isinstance(open_blobs(url, home=HOME), RemoteBlobs)


def test_what_the_environment_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(Invalid) as caught:
        open_blobs("az://container", home=HOME)
    assert caught.value.why == "Generic MicrosoftAzure error: Account must be specified"


@pytest.mark.parametrize(
    "url", ["", "folder", "/folder", "file://elsewhere/x", "file:folder", "http://a/b", "s3://", "s3:"]
)
def test_an_invalid_blob_url_is_refused_with_the_valid_forms(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        open_blobs(url, home=HOME)
    assert "file:///folder" in (caught.value.fix or "")


@pytest.mark.parametrize("url", ["s3://key:hush@bucket/x", "az://container?sig=hush", "file://user:hush@localhost/x"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(TrivetError) as caught:
        open_blobs(url, home=HOME)
    assert "hush" not in str(caught.value)
