"""Private folders and the worker's code."""

import os
import stat
import time

from trivet.workers.folders import make_private_folder, sweep_stale_folders, worker_code


def age(path):
    old = time.time() - 3600
    os.utime(path, (old, old))


def test_a_private_folder_is_for_this_user_only_and_short(tmp_path):
    folder = make_private_folder(tmp_path)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert folder.scratch.is_dir()
    assert len(os.fsencode(folder.socket)) <= 107
    folder.remove()
    assert not folder.path.exists()


def test_a_socket_below_a_long_path_is_made_elsewhere(tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    folder = make_private_folder(deep)
    try:
        assert len(os.fsencode(folder.socket)) <= 107
    finally:
        folder.remove()


def test_only_folders_without_a_holder_are_swept(tmp_path):
    held, stale, young = (make_private_folder(tmp_path) for _ in range(3))
    for folder in (stale, young):
        os.close(folder.lock)  # what the kernel does when a process ends
    age(held.path)
    age(stale.path)
    other = tmp_path / "trivet-w-of-another-program.txt"
    other.write_text("no folder")
    age(other)
    assert sweep_stale_folders(tmp_path) == [stale.path]
    assert held.path.exists()
    assert young.path.exists()
    assert other.exists()
    held.remove()


def test_the_workers_code_is_copied_once_and_holds_nothing_else(tmp_path):
    code = worker_code(tmp_path)
    assert sorted(path.name for path in code.iterdir()) == ["mac", "trivet_worker"]
    assert (code / "trivet_worker" / "adapters" / "custom.py").is_file()
    before = code.stat().st_mtime_ns
    assert worker_code(tmp_path) == code
    assert code.stat().st_mtime_ns == before
    assert [path.name for path in code.parent.iterdir()] == [code.name]


def test_half_a_copy_of_the_workers_code_is_removed(tmp_path):
    left = tmp_path / "worker" / "tmp-of-a-dead-process"
    (left / "mac").mkdir(parents=True)
    code = worker_code(tmp_path)
    assert [path.name for path in code.parent.iterdir()] == [code.name]
