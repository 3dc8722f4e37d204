"""Copies of uv's cache for builds."""

import pytest

from trivet.envs.confined import copy_cache


@pytest.fixture
def cache(tmp_path):
    """A cache with one unpacked wheel, and an answer of an index."""
    cache = tmp_path / "cache"
    wheels = cache / "wheels-v7" / "index" / "0a" / "wheel"
    wheels.mkdir(parents=True)
    for name in ("1.0-any.msgpack", "1.0-any.rev", "2.0-any.http", "2.0-any.msgpack"):
        (wheels / name).write_text(name)
    unpacked = cache / "archive-v0" / "xyz"
    unpacked.mkdir(parents=True)
    (unpacked / "wheel.py").write_text("")
    (wheels / "1.0-any").symlink_to(unpacked, target_is_directory=True)
    (cache / "simple-v1").mkdir()
    (cache / "simple-v1" / "wheel.rkyv").write_text("")
    return cache


def copied(cache, target, *, whole):
    copy_cache(cache, target, whole=whole)
    return sorted(str(each.relative_to(target)) for each in target.rglob("*") if not each.is_dir() or each.is_symlink())


def test_a_copy_without_wheels_does_not_say_that_they_are_there(cache, tmp_path):
    wheels = "wheels-v7/index/0a/wheel"
    files = ["simple-v1/wheel.rkyv", f"{wheels}/1.0-any.msgpack", f"{wheels}/2.0-any.msgpack"]
    assert copied(cache, tmp_path / "copy", whole=False) == files


def test_a_whole_copy_has_links_to_the_wheels(cache, tmp_path):
    files = copied(cache, tmp_path / "copy", whole=True)
    assert "archive-v0/xyz/wheel.py" in files
    assert "wheels-v7/index/0a/wheel/1.0-any.rev" in files
