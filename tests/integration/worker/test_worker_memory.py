"""A worker's memory limit covers shared memory and all processes that the model started."""

import ast
import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import trivet_worker
from trivet_worker.sandbox import landlock_abi

LIMIT = 300 * 2**20
MORE = 400 * 2**20
SPENDS = {
    "a shared mapping": f"import mmap\nkept = mmap.mmap(-1, {MORE})\nfor _ in range({MORE >> 20}): kept.write(b'x' * 2**20)",
    "a memfd that is not mapped": f"f = os.memfd_create('m')\nfor _ in range({MORE >> 20}): os.write(f, b'x' * 2**20)",
    "shared memory of multiprocessing": (
        f"from multiprocessing import shared_memory as s\nkept = s.SharedMemory(create=True, size={MORE})\n"
        f"for at in range(0, {MORE}, 2**20): kept.buf[at : at + 2**20] = b'x' * 2**20"
    ),
    "children": (
        "code = 'import time; kept = bytearray(150 * 2**20); time.sleep(600)'\n"
        "for _ in range(3): subprocess.Popen([sys.executable, '-S', '-c', code], start_new_session=True)"
    ),
}
ENDING = "it used more memory than its limit of 300 MiB, with its shared memory and the processes that it started"


@pytest.mark.parametrize("how", SPENDS)
def test_a_worker_that_uses_more_memory_than_its_limit_ends(stand, row, how):
    spec = replace(stand.custom(predict=SPENDS[how] + "\ntime.sleep(600)"), memory_bytes=LIMIT)

    async def main():
        worker = await stand.launcher.start(spec)
        with pytest.raises(Exception, match=r"(?i)unavailable|socket closed|reset"):
            await asyncio.to_thread(stand.link(worker, spec).send, row)
        return await worker.wait()

    ending = asyncio.run(main())
    assert ending.startswith(f"{ENDING}; its log ends with\n")
    assert "this worker ends: it used " in ending
    assert "its limit is 300 MiB" in ending


SHARED = """
import mmap, os, sys, time
sys.path.insert(0, {code!r})
from trivet_worker.memory import MemoryWatch

def filled(size, file=-1):
    kept = mmap.mmap(file, size)
    for at in range(0, size, 4096): kept[at] = 1
    return kept

ready, done = os.pipe(), os.pipe()
if os.fork() == 0:
    shared, private = filled(100 * 2**20), bytearray(b"x") * (100 * 2**20)
    file = os.memfd_create("m")
    os.ftruncate(file, 50 * 2**20)
    mapped = filled(50 * 2**20, file)
    for _ in range(3):
        if os.fork() == 0:
            break
    sum(shared[at] + private[at] for at in range(0, 100 * 2**20, 4096))
    sum(mapped[at] for at in range(0, 50 * 2**20, 4096))
    os.write(ready[1], b".")
    os.read(done[0], 1)
    os._exit(0)
read = 0
while read < 4: read += len(os.read(ready[0], 4))
said = []
for limit in (240, 300):
    watch = MemoryWatch(limit * 2**20, {folder!r})
    time.sleep(watch.wait_s())
    said.append(watch.excess(0))
os.write(done[1], b"....")
print(said)
"""


def test_pages_that_processes_share_count_once(tmp_path):
    code = str(Path(trivet_worker.__file__).parents[1])
    program = SHARED.format(code=code, folder=str(tmp_path))
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    high, low = ast.literal_eval(said.stdout)
    assert high.startswith("it used 2")
    assert low is None


@pytest.mark.skipif(os.getuid() != 0 or landlock_abi() == 0, reason="the worker has no user of its own")
def test_what_a_worker_left_in_shared_memory_is_removed(stand, row):
    name = f"/dev/shm/trivet-test-{os.getpid()}"
    leaves = f"""
    open({name!r}, 'w').close()
    os.makedirs({name!r} + '-folder')
    open({name!r} + '-folder/left', 'w').close()
    assert ctypes.CDLL(None).shmget(0, 4096, 0o1600) >= 0
    return {{'y': input_data['x'][:, 0]}}
    """
    segments = Path("/proc/sysvipc/shm")
    before = segments.read_text().count("\n")

    def use(link):
        answer, problem = link.send(row)
        assert answer is not None, problem
        assert Path(name).exists()
        assert segments.read_text().count("\n") == before + 1

    stand.run(stand.custom(predict=leaves), use)
    assert not list(Path("/dev/shm").glob(f"{Path(name).name}*"))
    assert segments.read_text().count("\n") == before
