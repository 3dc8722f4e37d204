"""Files and folders that appear whole, and what dead writers leave."""

import fcntl
from pathlib import Path

import pytest

from trivet.disk.drafts import draft_file, draft_folder, draft_name, sweep_drafts


@pytest.mark.parametrize("draft", [draft_file, draft_folder])
def test_a_draft_is_removed_unless_it_was_renamed(tmp_path, draft):
    with draft(tmp_path) as (path, _):
        assert path.exists()
    assert list(tmp_path.iterdir()) == []
    with draft(tmp_path) as (path, _):
        path.rename(tmp_path / "whole")
    assert [each.name for each in tmp_path.iterdir()] == ["whole"]


@pytest.mark.parametrize("draft", [draft_file, draft_folder])
def test_a_draft_is_removed_after_an_error(tmp_path, draft):
    with pytest.raises(ValueError, match="stop"), draft(tmp_path):
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("draft", [draft_file, draft_folder])
def test_a_sweep_keeps_drafts_of_live_writers(tmp_path, draft):
    with draft(tmp_path) as (path, _):
        sweep_drafts(tmp_path)
        assert path.exists()


def test_a_sweep_removes_drafts_of_dead_writers(tmp_path):
    draft_name(tmp_path).write_text("half")
    folder = draft_name(tmp_path)
    folder.mkdir()
    (folder / "file").write_text("half")
    (tmp_path / "whole").write_text("all")
    sweep_drafts(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["whole"]


def test_a_draft_that_a_sweep_removed_before_its_lock_is_recreated(tmp_path, monkeypatch):
    lock, swept = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not swept:
            swept.append(Path(f"/proc/self/fd/{descriptor}").readlink())
            swept[0].unlink()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with draft_file(tmp_path) as (path, _):
        assert path != swept[0]
        assert path.exists()


def test_a_draft_in_a_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), draft_file(tmp_path / "missing"):
        pass
