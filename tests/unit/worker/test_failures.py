"""What a worker reports of an exception: bounded, and without this machine's paths."""

import os
import sys
from pathlib import Path

import pytest

from trivet.engine.model_errors import ModelError, error_of
from trivet_worker.failures import hide_paths, message_of, type_of
from trivet_worker.onnx_rows import session_reason

FOLDERS = {"home": "/srv/trivet", "package": "/srv/trivet/packages/ab", "scratch": "/tmp/tw-1/scratch"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no file /srv/trivet/packages/ab/w.bin", "no file <package>/w.bin"),
        ("'/srv/trivet/token'", "'<home>/token'"),
        ("/srv/trivet", "<home>"),
        ("file:///srv/trivet/token", "file://<home>/token"),
        ("/srv/trivet-other/x /srv/trivet2", "/srv/trivet-other/x /srv/trivet2"),
        ("/tmp/tw-1/scratch/x and /tmp/x", "<scratch>/x and /tmp/x"),
        ("nothing", "nothing"),
    ],
)
def test_paths_below_the_folders_are_replaced(text, shown):
    assert hide_paths(**FOLDERS)(text) == shown


def test_paths_of_the_environment_and_through_links_are_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    hide = hide_paths(home=str(tmp_path / "link"), package="/p", scratch="/s")
    assert hide(f"{tmp_path / 'real'}/a {tmp_path / 'link'}/b") == "<home>/a <home>/b"
    assert sys.prefix != sys.base_prefix
    assert hide(f"{sys.prefix}{os.sep}lib") == "<environment>/lib"


def test_without_a_home_nothing_else_is_replaced():
    hide = hide_paths(home="", package="/p", scratch="/s")
    assert hide(f"{Path.cwd()} / /p/x") == f"{Path.cwd()} / <package>/x"


def test_a_path_at_the_end_of_a_long_message_is_replaced_whole():
    message = message_of(ValueError("x" * 3995 + "/srv/trivet/packages/ab/secret"), hide_paths(**FOLDERS))
    assert len(message) == 4000
    assert message.endswith("x<pack")


def test_type_and_message_are_bounded_in_worker_and_gateway():
    error = type("T" * 1000, (Exception,), {})("m" * 10_000)
    assert (len(type_of(error)), len(message_of(error, str))) == (200, 4000)
    assert len(session_reason(error)) == 4000
    # A model can write to its worker's socket itself.
    sent = ModelError(reason="model_error", type="T" * 10**6, message="m" * 10**6, path="p" * 10**6)
    seen = error_of(sent)
    assert len(seen.message) + len(seen.path or "") < 10_000


def test_a_path_in_tmp_that_is_closed_has_a_hint():
    hide = hide_paths(**FOLDERS)
    closed = "[Errno 13] Permission denied: '/tmp/mark'"
    hint = ". A worker may not use /tmp: write to tempfile.gettempdir() or $TMPDIR, a folder of its own"
    assert message_of(PermissionError(13, "Permission denied", "/tmp/mark"), hide) == closed + hint
    assert message_of(PermissionError(13, "Permission denied", "/srv/x"), hide).endswith("'/srv/x'")
    mine = PermissionError(13, "Permission denied", f"{FOLDERS['scratch']}/x")
    assert message_of(mine, hide).endswith("'<scratch>/x'")
    assert message_of(FileNotFoundError(2, "No such file", "/tmp/mark"), hide).endswith("'/tmp/mark'")
