"""A model has a `/tmp` of its own, where the system allows it."""

import asyncio
import os
import secrets
import signal
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from trivet.workers.processes import Sandbox
from trivet_tests.own_tmp import OWN_TMP

pytestmark = pytest.mark.skipif(not OWN_TMP, reason="this user may not mount folders, or this kernel has no Landlock")
TEXT = pa.schema([pa.field("code", pa.string())])
SAID = pa.schema([pa.field("said", pa.string())])
RUNS = """
import glob, os, shutil, socket, sys
import numpy as np
def process_data(data):
    said = []
    for code in data["code"]:
        try:
            said.append(str(eval(str(code))))
        except OSError as error:
            said.append(type(error).__name__)
    return {"said": np.array(said, dtype=object)}
"""


@pytest.fixture
def launched(stand):
    """Opens a launcher; gives a function that starts a worker, and one that has it evaluate code."""
    spec = replace(stand.step(RUNS), input_schema=TEXT, output_schema=SAID)

    async def said(worker, *codes):
        link = stand.link(worker, spec)
        answer, problem = await asyncio.to_thread(link.send, list(codes))
        await asyncio.to_thread(link.close)
        assert answer is not None, problem
        return answer["said"]

    async def once(*codes, **more):
        worker = await stand.launcher_with(**more).start(spec)
        try:
            return await said(worker, *codes)
        finally:
            await worker.stop(5)

    return spec, said, lambda *codes, **more: asyncio.run(once(*codes, **more))


def test_a_path_in_tmp_is_a_models_own(launched):
    name = f"/tmp/trivet-{secrets.token_hex(8)}"
    wrote = f"open({name!r}, 'w').write('mine')"
    assert launched[2](wrote, f"open({name!r}).read()", f"os.mkdir({name + '-folder'!r})") == ["4", "mine", "None"]
    assert not Path(name).exists()
    assert launched[2](f"os.path.exists({name!r})") == ["False"]


def test_the_next_worker_finds_what_one_that_died_left_in_tmp(stand, launched):
    spec, said, _ = launched

    async def main():
        launcher = stand.launcher
        worker = await launcher.start(spec)
        assert await said(worker, "open('/tmp/cache', 'w').write('x')", "os.makedirs('/tmp/a/b')") == ["1", "None"]
        os.kill(worker.pid, signal.SIGKILL)
        await worker.wait()
        worker = await launcher.start(spec)
        again = "open('/tmp/cache', 'a').write('y'), open('/tmp/cache').read(), shutil.rmtree('/tmp/a')"
        assert await said(worker, again) == ["(1, 'xy', None)"]
        # One that the platform ends leaves nothing.
        await worker.stop(5)
        worker = await launcher.start(spec)
        assert await said(worker, "os.path.exists('/tmp/cache')") == ["False"]
        await worker.stop(5)
        launcher.close()

    asyncio.run(main())
    assert not list(stand.short_folder.iterdir())


def test_other_files_folders_and_sockets_in_tmp_are_not_there(launched):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as door:
        (Path(folder) / "secret").write_text("secret")
        door.bind(f"{folder}/door")
        door.listen()
        said = launched[2](
            f"open('{folder}/secret').read()",
            f"socket.socket(socket.AF_UNIX).connect('{folder}/door')",
            # A folder that this user has made is there, and empty.
            f"os.listdir('{folder}')",
            f"open('{folder}/secret', 'w').write('own')",
        )
        assert said == ["FileNotFoundError", "FileNotFoundError", "[]", "3"]
        assert (Path(folder) / "secret").read_text() == "secret"


def test_a_granted_path_in_tmp_stays_and_is_read_only(launched):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as door:
        (Path(folder) / "data").mkdir(mode=0o777)
        (Path(folder) / "data/weights").write_text("given")
        (Path(folder) / "one").write_text("file")
        Path(folder, "link").symlink_to(f"{folder}/data")
        door.bind(f"{folder}/door")
        door.listen()
        Path(folder, "door").chmod(0o777)
        granted = tuple(Path(folder) / name for name in ("link", "one", "door"))
        said = launched[2](
            f"open('{folder}/link/weights').read(), open('{folder}/data/weights').read(), open('{folder}/one').read()",
            f"open('{folder}/link/new', 'w')",
            f"os.unlink('{folder}/data/weights')",
            f"open('{folder}/one', 'a')",
            f"socket.socket(socket.AF_UNIX).connect('{folder}/door')",
            sandbox=Sandbox(readable=granted),
        )
        assert (said[0], said[4]) == ("('given', 'given', 'file')", "None")
        assert set(said[1:4]) <= {"OSError", "PermissionError"}  # the file system is read-only, or the modes say so


@pytest.mark.parametrize("granted", ["/tmp", "the folder of the home"])
def test_tmp_is_the_machines_where_the_operator_grants_it(stand, launched, granted):
    stand.home.mkdir(parents=True)
    (stand.home / "token").write_text("secret")
    (stand.folder / "beside").write_text("beside")
    readable = Path("/tmp") if granted == "/tmp" else stand.folder
    said = launched[2](
        f"open({str(stand.folder / 'beside')!r}).read()",
        f"open({str(stand.home / 'token')!r}).read()",
        "open('/tmp/trivet-made', 'w')",
        sandbox=Sandbox(readable=(readable,)),
    )
    assert said == ["beside", "PermissionError", "PermissionError"]


def test_a_link_left_in_tmp_leads_no_mount_elsewhere(stand, launched, tmp_path):
    spec, said, _ = launched
    place, target = Path(f"/tmp/trivet-{secrets.token_hex(8)}"), tmp_path / "target"
    target.mkdir()
    place.mkdir()
    (place / "weights").write_text("given")

    async def main():
        launcher = stand.launcher
        worker = await launcher.start(spec)
        assert await said(worker, f"os.rmdir('{place}') or os.symlink('{target}', '{place}')") == ["None"]
        os.kill(worker.pid, signal.SIGKILL)
        await worker.wait()
        launcher._sandbox = Sandbox(readable=(place / "weights",))
        worker = await launcher.start(spec)
        assert await said(worker, f"open('{place}/weights').read()", f"os.path.islink('{place}')") == ["given", "False"]
        await worker.stop(5)

    try:
        asyncio.run(main())
        assert not list(target.iterdir())
    finally:
        (place / "weights").unlink()
        place.rmdir()
