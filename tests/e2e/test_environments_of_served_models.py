"""Environments from the seat of someone who serves: built once, whatever comes in between, and pruned when unused."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


def environments(home: Path) -> list[str]:
    folder = home / "envs" / "environments"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def workspaces(home: Path) -> list[str]:
    folder = home / "envs" / "tmp"
    return [path.name for path in folder.iterdir() if path.name != ".sweep"] if folder.exists() else []


@pytest.mark.slow
def test_two_servers_share_an_environment_that_is_pruned_after_both(fresh_shell, make, tmp_path):
    step = make.step(tmp_path / "step")
    with fresh_shell.start(step) as first, fresh_shell.start(step) as second:
        for server in (first, second):
            assert server.until_ready().outputs([{"x": [1, 2, 3]}]) == [{"y": 6.0}]
        built = [server for server in (first, second) if "installing 0/" in server.stderr]
        assert len(built) == 1
        assert len(environments(fresh_shell.home)) == 1
        assert workspaces(fresh_shell.home) == []
        first.signal(signal.SIGTERM)
        assert first.wait() == 0
        # One still uses it.
        assert json.loads(fresh_shell.run("env", "prune", "--json").stdout) == []
        assert second.outputs([{"x": [1, 2, 3]}]) == [{"y": 6.0}]
    listed = json.loads(fresh_shell.run("env", "list", "--json").stdout)
    assert json.loads(fresh_shell.run("env", "prune", "--unused-for", "1", "--json").stdout) == []
    assert json.loads(fresh_shell.run("env", "prune", "--json").stdout) == listed
    assert environments(fresh_shell.home) == workspaces(fresh_shell.home) == []


@pytest.fixture
def silent_index() -> Iterator[str]:
    """A package index that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        ended = threading.Event()
        taken = []

        def take() -> None:
            while not ended.is_set():
                try:
                    taken.append(listener.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/simple"
        finally:
            ended.set()
            thread.join()
            for connection in taken:
                connection.close()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_server_that_ends_during_a_build_leaves_no_process(fresh_shell, make, tmp_path, silent_index, number, code):
    step = make.step(tmp_path / "step")
    with fresh_shell.start(step, UV_DEFAULT_INDEX=silent_index, UV_NO_CACHE="1") as server:
        server.until_said("resolving")
        make.eventually(lambda: any("uv" in process.name() for process in server.root.children(recursive=True)))
        processes = server.root.children(recursive=True)
        server.signal(number)
        assert server.wait(within_s=15) == code
        psutil.wait_procs(processes, timeout=15)
        assert not any(process.is_running() for process in processes)
        assert server.lines == []
        assert environments(fresh_shell.home) == []
        if number != signal.SIGKILL:
            assert workspaces(fresh_shell.home) == []


FULL = """
    import json, subprocess, sys

    home, path, trivet = sys.argv[1:]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", home], check=True)
    said = []
    for size in ("30m", "2g"):
        subprocess.run(["mount", "-o", f"remount,size={size}", home], check=True)
        ended = subprocess.run([trivet, "check", path], capture_output=True, text=True)
        found = subprocess.run(["find", home + "/envs/environments", home + "/envs/tmp", "-mindepth", "1", "-maxdepth", "1"],
                               capture_output=True, text=True).stdout.split()
        said.append({"code": ended.returncode, "stderr": ended.stderr, "found": found})
    print(json.dumps(said))
"""


@pytest.mark.slow
def test_a_full_disk_during_a_build_is_reported_and_leaves_nothing(fresh_shell, make, tmp_path):
    private = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    probe = [*private, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("a file system of our own cannot be mounted here")
    script = make.folder(tmp_path, {"full.py": FULL}) / "full.py"
    fresh_shell.home.mkdir()
    step = make.step(tmp_path / "step")
    ran = subprocess.run(
        [*private, sys.executable, script, fresh_shell.home, step, Path(sys.executable).with_name("trivet")],
        env=fresh_shell.environ, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    full, roomy = json.loads(ran.stdout)
    assert full["code"] == 1
    assert "error: " in full["stderr"]
    assert "No space left on device" in full["stderr"] or "disk" in full["stderr"].lower()
    assert "\n  fix " in full["stderr"]
    assert "Traceback" not in full["stderr"]
    assert [path for path in full["found"] if not path.endswith(".sweep")] == []
    assert roomy["code"] == 0, roomy["stderr"]
    assert len([path for path in roomy["found"] if "/environments/" in path]) == 1


def test_offline_without_a_cache_says_what_is_missing(fresh_shell, make, tmp_path):
    nothing = {"UV_CACHE_DIR": str(tmp_path / "empty"), "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    ended = fresh_shell.run("check", make.step(tmp_path / "step"), "--offline", **nothing)
    assert ended.code == 1
    assert "offline" in ended.stderr
    assert "\n  fix " in ended.stderr
    assert environments(fresh_shell.home) == workspaces(fresh_shell.home) == []


def test_what_is_built_is_used_offline(shell, make, tmp_path):
    step = make.step(tmp_path / "step")
    assert shell.run("check", step).code == 0
    assert shell.run("check", step, "--offline", UV_CACHE_DIR=str(tmp_path / "empty")).code == 0
