"""Builders as real processes: two at once, one killed, and disks that fill up."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from trivet.domain.environment import EnvironmentSpec
from trivet.envs import EnvironmentStore
from trivet.errors import BadEnvironment

BUILDER = """
import json, sys
from pathlib import Path
from trivet.domain.environment import EnvironmentSpec
from trivet.envs import EnvironmentStore
order = json.loads(sys.argv[1])
def report(stage, detail, done, total):
    print(f"{stage}: {detail}", flush=True)
store = EnvironmentStore(Path(order["root"]), environ=order["environ"])
environment = store.ensure(
    EnvironmentSpec(requirements=tuple(order["requirements"])),
    offline=True, wheels=Path(order["wheels"]), report=report,
)
print("digest: " + environment.digest, flush=True)
"""
PATIENCE_S = 60.0


@pytest.fixture
def start_builder(root, environ, wheels) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started = []

    def start(*requirements: str, cache: str = environ["UV_CACHE_DIR"]) -> subprocess.Popen[str]:
        variables = {**environ, "UV_CACHE_DIR": cache}
        order = {"root": str(root), "environ": variables, "requirements": requirements, "wheels": str(wheels)}
        process = subprocess.Popen(
            [sys.executable, "-c", BUILDER, json.dumps(order)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


@pytest.fixture
def slow_build(tmp_path, wheels, make_sdist) -> Path:
    """A package whose build writes its process number where `building` finds it, then waits while `hold` exists."""
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "hold").write_text("")
    code = f"""
# Confined, it writes the environment that is built, beside its cache.
environment = next((each / "environment" for each in pathlib.Path.cwd().parents if each.name == "space"), None)
environment = environment or pathlib.Path({str(folder)!r})
(environment / "draft").write_text(str(os.getpid()))
(environment / "draft").rename(environment / "building")
while pathlib.Path({str(folder / "hold")!r}).exists():
    time.sleep(0.05)
"""
    make_sdist(wheels, "slowpoke", "1.0", before_build=code)
    return folder


def building(root) -> list[int]:
    found = [*root.glob("tmp/*/space/environment/building"), *root.parent.glob("slow/building")]
    return [int(file.read_text()) for file in found]


def test_two_builders_make_one_environment_and_the_second_reports_waiting(start_builder, slow_build, root):
    first = start_builder("slowpoke")
    eventually(lambda: building(root))
    second = start_builder("slowpoke")
    lines = [second.stdout.readline()]
    assert lines == ["resolving: another process is building this environment; waiting for it\n"]
    (slow_build / "hold").unlink()
    said_first, said_second = first.communicate(timeout=PATIENCE_S)[0], second.communicate(timeout=PATIENCE_S)[0]
    assert (first.returncode, second.returncode) == (0, 0)
    # Nothing was installed a second time.
    assert said_second.splitlines() == [said_first.splitlines()[-1]]
    assert len(list((root / "environments").iterdir())) == 1


def test_two_specs_with_one_lock_meet_at_the_building(start_builder, slow_build, root, tmp_path):
    first = start_builder("slowpoke")
    eventually(lambda: building(root))
    # With a cache of its own, or uv itself would wait for the first one's build.
    second = start_builder("slowpoke>=1", cache=str(tmp_path / "another-cache"))
    said = iter(second.stdout.readline, "")
    assert any("installing: another process is building this environment" in line for line in said)
    (slow_build / "hold").unlink()
    first.communicate(timeout=PATIENCE_S)
    second.communicate(timeout=PATIENCE_S)
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(list((root / "environments").iterdir())) == 1


def test_threads_of_one_process_share_a_build(store, wheels, root):
    digests = []

    def build() -> None:
        digests.append(store.ensure(EnvironmentSpec(requirements=("alpha",)), offline=True, wheels=wheels).digest)

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(digests) == 4
    assert len(set(digests)) == 1
    assert len(list((root / "environments").iterdir())) == 1


def test_a_killed_builder_leaves_no_process_and_no_partial_environment(start_builder, slow_build, root, store, wheels):
    builder = start_builder("slowpoke")
    eventually(lambda: building(root))
    family = psutil.Process(builder.pid).children(recursive=True)
    assert building(root)[0] in {process.pid for process in family}
    assert any(process.name() == "uv" for process in family)
    builder.send_signal(signal.SIGKILL)
    eventually(lambda: not any(process.is_running() and process.status() != "zombie" for process in family))
    assert not list(root.glob("environments/*"))
    abandoned = [path for path in (root / "tmp").iterdir() if path.is_dir()]
    assert len(abandoned) == 1

    (slow_build / "hold").unlink()
    environment = store.ensure(EnvironmentSpec(requirements=("slowpoke",)), offline=True, wheels=wheels)
    code = "import slowpoke; print(slowpoke.BUILT)"
    said = subprocess.run([environment.python, "-I", "-c", code], capture_output=True, check=True, text=True).stdout
    assert said == "True\n"
    assert [path.name for path in (root / "tmp").iterdir()] == [".sweep"]


def test_a_stopped_builder_stops_its_children(start_builder, slow_build, root):
    builder = start_builder("slowpoke")
    eventually(lambda: building(root))
    family = psutil.Process(builder.pid).children(recursive=True)
    builder.send_signal(signal.SIGINT)
    builder.communicate(timeout=PATIENCE_S)
    assert not any(process.is_running() and process.status() != "zombie" for process in family)
    assert [path.name for path in (root / "tmp").iterdir()] == [".sweep"]


def test_a_live_builders_folder_is_not_swept(start_builder, slow_build, root, store, wheels):
    builder = start_builder("slowpoke")
    eventually(lambda: building(root))
    store.ensure(EnvironmentSpec(requirements=("alpha",)), offline=True, wheels=wheels)
    (slow_build / "hold").unlink()
    builder.communicate(timeout=PATIENCE_S)
    assert builder.returncode == 0


@contextmanager
def small_disk(folder: Path, *, size: str) -> Iterator[None]:
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    command = [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no small disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_is_named_and_holds_nothing_half_made(tmp_path, environ, wheels, make_wheel):
    make_wheel(wheels, "big", "1.0", data=os.urandom(6 * 1024 * 1024))
    folder = tmp_path / "small"
    spec = EnvironmentSpec(requirements=("big",))
    with small_disk(folder, size="4m"):
        store = EnvironmentStore(folder / "envs", environ=environ)
        with pytest.raises(BadEnvironment) as caught:
            store.ensure(spec, offline=True, wheels=wheels)
        assert caught.value.reason == "disk_full"
        assert str(folder) in str(caught.value)
        assert "make room" in caught.value.fix
        assert store.list() == []
        assert [path.name for path in (folder / "envs" / "tmp").iterdir()] == [".sweep"]
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
        assert store.ensure(spec, offline=True, wheels=wheels).python.exists()


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
""" + BUILDER.replace("environment = store.ensure(", "environment = None\ntry:\n  environment = store.ensure(").replace(
    'print("digest: "', 'except Exception as error: print(repr(error.reason), error)\nelse: print("digest: "'
)


def test_a_file_that_may_not_be_written_in_full_is_a_full_disk(tmp_path, root, environ, wheels, make_wheel):
    make_wheel(wheels, "big", "1.0", data=os.urandom(3 * 1024 * 1024))
    order = {"root": str(root), "environ": environ, "requirements": ["big"], "wheels": str(wheels)}
    said = subprocess.run(
        [sys.executable, "-c", LIMITED, json.dumps(order)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        cwd=tmp_path,
    )
    assert "'disk_full' Could not pip install user provided requirements.txt: the disk that holds" in said.stdout
    assert str(root) in said.stdout
    assert not list(root.glob("environments/*"))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_full_disk_before_anything_was_made_is_named_too(tmp_path, environ, wheels):
    folder = tmp_path / "small"
    with small_disk(folder, size="64k"):
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), (folder / "filler").open("wb") as filler:
            while True:
                filler.write(b"x" * 4096)
        with pytest.raises(BadEnvironment) as caught:
            EnvironmentStore(folder / "envs", environ=environ).ensure(
                EnvironmentSpec(requirements=("alpha",)), offline=True, wheels=wheels
            )
    assert caught.value.what == f"The environments folder {folder / 'envs'} is not writable"
    assert caught.value.why == "no space is left on the device"
    assert caught.value.reason == "disk_full"
