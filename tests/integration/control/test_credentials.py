"""Token and certificate as the parent watches them, and as its processes learn of new ones."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from trivet.errors import Invalid, Unavailable
from trivet.settings import Settings
from trivet.wiring.credential_files import CredentialFiles
from trivet.wiring.credentials import Credentials, follow_credentials
from trivet.wiring.parent_lines import ParentLines

NEW = "another-token-of-the-owner"


@pytest.fixture
def files(tmp_path: Path) -> CredentialFiles:
    return CredentialFiles(Settings(home=tmp_path), {})


def test_the_first_read_makes_a_token(files, tmp_path):
    assert files.current.token == (tmp_path / "token").read_text().strip()
    assert files.current.token not in repr(files.current)


def test_a_change_is_seen_once_the_files_stand_still(files, tmp_path):
    assert not files.changed()
    (tmp_path / "token").write_text(NEW)
    assert not files.changed()  # it may still be written
    assert files.changed()
    assert files.reload()
    assert files.current.token == NEW
    assert not files.changed()
    assert not files.reload()


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (lambda path: path.write_text("short"), Invalid, "fewer than 16 characters"),
        (lambda path: path.unlink(), Unavailable, "cannot be read"),
    ],
)
def test_a_token_that_cannot_be_used_leaves_the_old_one(files, tmp_path, spoil, kind, message):
    before = files.current
    spoil(tmp_path / "token")
    with pytest.raises(kind, match=message):
        files.reload()
    assert files.current == before
    assert not files.changed()  # it is reported once
    (tmp_path / "token").write_text(NEW)
    assert files.reload()


def test_without_a_certificate_that_can_be_used_the_token_stays_too(tmp_path):
    cert, key = (tmp_path / name for name in ("cert.pem", "key.pem"))
    files = CredentialFiles(Settings(home=tmp_path), {})
    files._settings = Settings(home=tmp_path, tls_cert=cert, tls_key=key)
    before = files.current
    (tmp_path / "token").write_text(NEW)
    with pytest.raises(Invalid, match="the certificate cannot be read"):
        files.reload()
    assert files.current == before


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for descriptor in (read, write):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_a_process_takes_what_its_parent_sends_after_its_settings(pipe):
    read, write = pipe
    tokens = []
    line = json.dumps(Credentials(token=NEW).to_json()).encode() + b"\n"

    async def story():
        lines = ParentLines(read)
        # The next lines may come with the first one, and in pieces.
        os.write(write, b'{"settings": {}}\n' + line + line[:9])
        assert lines.first() == b'{"settings": {}}'
        follow_credentials(lines, tls=None, renew_token=tokens.append)
        assert tokens == [NEW]
        os.write(write, line[9:] + line)
        while len(tokens) < 3:
            await asyncio.sleep(0.001)
        os.close(write)
        await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(story(), 60))
    assert tokens == [NEW, NEW, NEW]


def test_a_parent_that_ended_sends_no_settings(pipe):
    read, write = pipe
    os.close(write)
    assert ParentLines(read).first() == b""
