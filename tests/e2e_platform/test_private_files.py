"""What lies in a home is for its owner only, file by file: the home's own rights may be widened, or lost when it is copied."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

WORKERS = 1_950_000_000
TRIVET = Path(sys.executable).with_name("trivet")
STEP_FLAGS = ("--framework", "python", "--input-schema", "x: float32[2]", "--output-schema", "x: float32[2]")


def trivet(*words: str | Path, home: Path) -> str:
    ran = subprocess.run(
        ["sh", "-c", 'umask 022 && exec "$@"', "sh", TRIVET, *words],
        env={**os.environ, "TRIVET_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def open_to_others(home: Path) -> list[str]:
    """Everything below a home that others have rights to, or a group that users can be in.

    Environments are shared between tests, and lie elsewhere. A stored package has fixed rights: it is the
    folder of all of them that is closed. The workers of one model append to its log, through a group that they alone have.
    """
    found = []
    for folder, folders, files in os.walk(home, followlinks=False):
        if Path(folder) == home / "packages":
            folders.clear()
        for name in (*folders, *files):
            path = Path(folder, name)
            about = path.lstat()
            mode, to_workers = about.st_mode, stat.S_IWGRP if about.st_gid == WORKERS else 0
            if not stat.S_ISLNK(mode) and mode & 0o077 & ~to_workers:
                found.append(f"{stat.filemode(mode)} {path.relative_to(home)}")
    return sorted(found)


def test_nothing_below_a_home_is_open_to_others(
    free_home: Path, tmp_path: Path, times: Callable[[float], Path], step_times: Callable[[float], Path]
):
    rows = tmp_path / "rows.json"
    rows.write_text('[{"x": [1.0, 2.0]}]')
    trivet("up", "--port", "0", "--http-port", "0", "--detach", home=free_home)
    try:
        trivet("upload", "native", times(2), home=free_home)
        trivet("upload", "step", step_times(2), *STEP_FLAGS, home=free_home)
        for pipeline in ("native", "step"):
            trivet("deploy", pipeline, pipeline, home=free_home)
            trivet("infer", pipeline, rows, home=free_home)
            assert trivet("logs", pipeline, home=free_home)
        while_it_runs = open_to_others(free_home)
    finally:
        trivet("down", home=free_home)
    assert while_it_runs == []
    assert open_to_others(free_home) == []
    names = {path.name for path in free_home.rglob("*")}
    assert {"platform.log", "routes.json", "inference", "blobs"} <= names
