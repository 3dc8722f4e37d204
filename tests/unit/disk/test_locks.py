"""Locks between holders, temporary folders, records, and digests of wheels."""

import os
import threading
import time
from datetime import UTC, datetime

import pytest

from trivet.disk.files import remove_tree
from trivet.disk.locks import LockBusyError, held, temporary_folder
from trivet.domain.digest import Digest, digest_of_bytes
from trivet.envs.records import EnvironmentRecord, LockRecord, read_record, write_record
from trivet.envs.wheel_folder import digest_of_wheels
from trivet.envs.worker_needs import modules_of, requirements_of_worker
from trivet.errors import BadEnvironment


def test_a_lock_has_one_holder(tmp_path):
    with held(tmp_path / "deep/lock"), pytest.raises(LockBusyError), held(tmp_path / "deep/lock"):
        pass
    with held(tmp_path / "deep/lock"):
        pass


def test_shared_holders_exclude_only_an_exclusive_one(tmp_path):
    shared = held(tmp_path / "lock", shared=True)
    with shared, held(tmp_path / "lock", shared=True), pytest.raises(LockBusyError), held(tmp_path / "lock"):
        pass


def test_a_waiting_process_reports_once_and_gets_the_lock(tmp_path):
    said = []
    entered = threading.Event()

    def hold():
        with held(tmp_path / "lock"):
            entered.set()
            while not said:
                pass

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    with held(tmp_path / "lock", wait_s=10, on_wait=lambda: said.append("waiting")):
        pass
    holder.join(10)
    assert said == ["waiting"]


def test_a_temporary_folder_is_removed_even_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="no"), temporary_folder(tmp_path / "tmp") as space:
        (space.path / "file").write_text("x")
        assert space.path.stat().st_mode & 0o777 == 0o700
        raise ValueError("no")
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == [".sweep"]


def test_folders_of_dead_processes_are_removed_and_live_ones_kept(tmp_path):
    dead = tmp_path / "0123"
    dead.mkdir()
    (dead / "file").write_text("x")
    (tmp_path / "0123.lock").write_text("")
    with temporary_folder(tmp_path) as first, temporary_folder(tmp_path) as second:
        assert not dead.exists()
        assert first.path.is_dir()
        assert second.path.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == [".sweep"]


def test_a_tree_with_folders_that_are_not_writable_is_removed(tmp_path):
    folder = tmp_path / "tree/inner"
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    (folder / "link").symlink_to("/nowhere")
    folder.chmod(0o500)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    remove_tree(tmp_path / "tree")


def test_records_come_back_as_they_went(tmp_path):
    record = EnvironmentRecord(
        digest=Digest("a" * 64),
        lock="x==1\n",
        packages=("x==1",),
        python_version="3.8.18",
        size_bytes=7,
        made=datetime(2026, 1, 2, tzinfo=UTC),
    )
    write_record(tmp_path / "deep/record.json", record, drafts=tmp_path)
    assert read_record(tmp_path / "deep/record.json", EnvironmentRecord) == record
    assert os.listdir(tmp_path / "deep") == ["record.json"]  # noqa: PTH208


@pytest.mark.parametrize("text", [None, "", "{", "{}", '{"lock": 7}', "\udcff"])
def test_an_invalid_record_reads_as_none(tmp_path, text):
    if text is not None:
        (tmp_path / "record.json").write_text(text, errors="surrogateescape")
    assert read_record(tmp_path / "record.json", LockRecord) is None


NOW = time.time_ns()
MUCH_LATER = NOW + 10**15


def test_the_digest_of_wheels_follows_names_and_bytes(tmp_path):
    folder, memory = tmp_path / "wheels", tmp_path / "memory.json"
    folder.mkdir()
    wheel = folder / "a-1-py3-none-any.whl"
    wheel.write_bytes(b"one")
    (folder / "notes.txt").write_text("no wheel")
    first = digest_of_wheels(folder, memory=memory, drafts=tmp_path / "tmp", now_ns=NOW)
    assert digest_of_wheels(folder, memory=memory, drafts=tmp_path / "tmp", now_ns=NOW) == first
    wheel.write_bytes(b"two")
    assert digest_of_wheels(folder, memory=memory, drafts=tmp_path / "tmp", now_ns=NOW) != first
    wheel.write_bytes(b"one")
    assert digest_of_wheels(folder, memory=memory, drafts=tmp_path / "tmp", now_ns=NOW) == first
    wheel.rename(folder / "a-2-py3-none-any.whl")
    assert digest_of_wheels(folder, memory=memory, drafts=tmp_path / "tmp", now_ns=NOW) != first


def test_a_wheel_that_lay_there_for_a_while_is_read_once(tmp_path):
    folder, memory = tmp_path / "wheels", tmp_path / "memory.json"
    folder.mkdir()
    (folder / "a-1-py3-none-any.whl").write_bytes(b"one")
    digest_of_wheels(folder, memory=memory, drafts=tmp_path / "tmp", now_ns=NOW)
    assert not memory.exists()
    first = digest_of_wheels(folder, memory=memory, drafts=tmp_path / "tmp", now_ns=MUCH_LATER)
    remembered = memory.read_text()
    memory.write_text(remembered.replace(digest_of_bytes(b"one"), "what was remembered"))
    assert digest_of_wheels(folder, memory=memory, drafts=tmp_path / "tmp", now_ns=MUCH_LATER) != first
    memory.write_text("nonsense")
    assert digest_of_wheels(folder, memory=memory, drafts=tmp_path / "tmp", now_ns=MUCH_LATER) == first
    assert memory.read_text() == remembered


def test_a_folder_without_wheels_is_refused(tmp_path):
    with pytest.raises(BadEnvironment, match="holds no wheel"):
        digest_of_wheels(tmp_path, memory=tmp_path / "memory.json", drafts=tmp_path / "tmp", now_ns=NOW)


def test_the_modules_of_requirements():
    assert modules_of(("numpy>=1.17", "Py-Arrow (>=12)", "pyarrow; python_version > '3'")) == (
        "numpy",
        "py_arrow",
        "pyarrow",
    )


def test_the_worker_needs_numpy_and_pyarrow_and_nothing_else():
    assert set(modules_of(requirements_of_worker())) == {"numpy", "pyarrow"}
