"""However a worker ends, its ending is reported, and nothing of it is left."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from trivet.domain.routes import WorkerAddress
from trivet.workers.backoff import BackoffPolicy
from trivet.workers.worker_set import Failed, Ready, WorkerSet


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition, *, limit_s=60):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


def private_folder(worker):
    return Path(worker.address.location.removeprefix("grpc+unix://")).parent


ENDS = {
    "os.kill(os.getpid(), signal.SIGKILL)": "killed by SIGKILL (signal 9)",
    "os.kill(os.getpid(), signal.SIGSEGV)": "killed by SIGSEGV (signal 11)",
    "ctypes.string_at(0)": "killed by SIGSEGV (signal 11)",
    "os.abort()": "killed by SIGABRT (signal 6)",
    "os._exit(0)": "exit code 0",
    "os._exit(7)": "exit code 7",
}


@pytest.mark.parametrize(("statement", "expected"), ENDS.items())
def test_a_worker_that_dies_in_a_call_says_how_with_its_last_lines(stand, row, statement, expected):
    spec = stand.custom(predict=f"print('the last words')\n{statement}")

    async def main():
        launcher = stand.launcher
        worker = await launcher.start(spec)
        folder = private_folder(worker)
        with pytest.raises(Exception, match=r"(?i)unavailable|socket closed|reset"):
            await asyncio.to_thread(stand.link(worker, spec).send, row)
        ending = await worker.wait()
        # The next worker would go on with its /tmp.
        assert {path.name for path in folder.iterdir()} == {"lock", "tmp"}
        launcher.close()
        assert not folder.exists()
        assert not alive(worker.pid)
        return ending

    ending = asyncio.run(main())
    assert ending.startswith(f"{expected}; its log ends with\n")
    assert "the last words" in ending


HANGS = {
    "sleeping": "time.sleep(1000)",
    "holding the interpreter lock": "sum(1 for _ in iter(int, 1)) if False else ctypes.PyDLL(None).sleep(1000)",
    "in a loop": "while True: pass",
    "deadlocked": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "ignoring signals": "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)",
}

BEGETS = """
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])
other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'], start_new_session=True)
open('pids', 'w').write(f'{child.pid} {other.pid} .')
"""


def pids_in(folder):
    """The processes that a model of `BEGETS` in this private folder has started."""
    notes = folder / "scratch" / "pids"
    wait_until(lambda: notes.exists() and notes.read_text().endswith("."))
    return [int(pid) for pid in notes.read_text().split()[:2]]


@pytest.mark.parametrize("how", HANGS)
def test_a_worker_that_hangs_is_ended_with_all_that_it_started(stand, row, how):
    spec = stand.custom(predict=BEGETS + HANGS[how])

    async def main():
        worker = await stand.launcher.start(spec)
        folder = private_folder(worker)
        sending = asyncio.get_running_loop().run_in_executor(None, stand.link(worker, spec).send, row)
        pids = await asyncio.to_thread(pids_in, folder)
        assert all(map(alive, [worker.pid, *pids]))
        worker.kill()
        await asyncio.wait_for(worker.wait(), 10)
        with pytest.raises(Exception, match=r"(?i)unavailable|socket closed|reset"):
            await sending
        assert (await worker.wait()).startswith("ended by Trivet")
        return [worker.pid, *pids], folder

    pids, folder = asyncio.run(main())
    assert not any(map(alive, pids))
    assert not folder.exists()


def test_stopping_lets_the_call_at_hand_finish(stand, row):
    spec = stand.custom(predict="open('called', 'w').close()\ntime.sleep(0.5)\nreturn {'y': input_data['x'][:, 0]}")

    async def main():
        worker = await stand.launcher.start(spec)
        called = private_folder(worker) / "scratch" / "called"
        link = stand.link(worker, spec)
        sending = asyncio.get_running_loop().run_in_executor(None, link.send, row)
        await asyncio.to_thread(wait_until, called.exists)
        stopping = asyncio.create_task(worker.stop(10))
        assert (await sending)[0] == {"y": [1.0]}
        await asyncio.to_thread(link.close)
        await stopping

    asyncio.run(main())


def test_a_model_can_terminate_a_process_that_it_forked(stand, row):
    spec = stand.custom(
        predict="import multiprocessing\n"
        "forked = multiprocessing.get_context('fork').Process(target=time.sleep, args=(1000,))\n"
        "forked.start()\n"
        "forked.terminate()\n"
        "forked.join()\n"
        "return {'y': input_data['x'][:, 0] * forked.exitcode}"
    )

    async def main():
        worker = await stand.launcher.start(spec)
        async with asyncio.timeout(60):
            answer = await asyncio.to_thread(stand.link(worker, spec).send, row)
        assert answer[0] == {"y": [-15.0]}
        await worker.stop(100)

    asyncio.run(main())


PARENT = """
import asyncio, json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import pickle_free_spec as given
from trivet.domain.encoding import encode

async def main():
    starting = asyncio.create_task(given.launcher().start(given.spec()))
    if sys.argv[1] == "while loading":
        await asyncio.sleep(1.5)
        print(json.dumps({}), flush=True)
    worker = await starting
    print(json.dumps({"pid": worker.pid, "address": json.loads(encode(worker.address))}), flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""

SPEC = """
import os
from pathlib import Path
import pyarrow as pa
from trivet.domain.package import EntryPoint
from trivet.workers.processes import ProcessLauncher, WorkerFiles
from trivet.workers.spec import WorkerSpec

def launcher():
    files = WorkerFiles(python=Path({python!r}), package=Path({root!r}))
    return ProcessLauncher(environ=dict(os.environ), home=Path({home!r}), files=lambda _: files)

def spec():
    return WorkerSpec(
        name="model-under-test", package="0" * 64, environment="0" * 64, adapter="custom",
        entry={{
            "inference": EntryPoint(file="custom_inference.py", name="Doubler", line=1),
            "builder": EntryPoint(file="custom_inference.py", name="DoublerBuilder", line=1),
        }},
        input_schema=pa.schema([pa.field("x", pa.list_(pa.float32(), 3), nullable=False)]),
        output_schema=pa.schema([pa.field("y", pa.float32())]),
    )
"""


def parent_of(stand, spec, when):
    (stand.folder / "pickle_free_spec.py").write_text(
        SPEC.format(python=str(stand.python), root=str(stand.root(spec)), home=str(stand.home))
    )
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), when, str(stand.folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(stand.short_folder)},
    )


@pytest.mark.parametrize("how", ["idle", *HANGS])
def test_when_the_parent_is_killed_nothing_is_left(stand, row, how):
    spec = stand.custom(predict=BEGETS + HANGS.get(how, "return {'y': input_data['x'][:, 0]}"))
    with parent_of(stand, spec, "in a call") as parent:
        reported = json.loads(parent.stdout.readline())
        address = msgspec.convert(reported["address"], WorkerAddress)
        link = stand.link_to(address, spec)
        if how == "idle":
            assert link.send(row)[0] == {"y": [1.0]}
        else:
            link.begin(row)
        guardians = [process.pid for process in psutil.Process(reported["pid"]).parents()[:2]]
        pids = [reported["pid"], *guardians, *pids_in(Path(address.location.removeprefix("grpc+unix://")).parent)]
        parent.kill()
    wait_until(lambda: not any(map(alive, pids)))
    wait_until(lambda: not list(stand.short_folder.iterdir()))


def test_when_the_parent_is_killed_while_the_model_loads_nothing_is_left(stand):
    spec = stand.custom(create="time.sleep(1000)")
    with parent_of(stand, spec, "while loading") as parent:
        parent.stdout.readline()
        workers = psutil.Process(parent.pid).children(recursive=True)
        assert len(workers) == 3
        parent.kill()
    wait_until(lambda: not any(alive(worker.pid) for worker in workers))
    wait_until(lambda: not list(stand.short_folder.iterdir()))


@pytest.mark.parametrize("which", [0, 1], ids=["the inner one", "the outer one"])
def test_when_a_guardian_is_killed_nothing_of_the_model_is_left(stand, row, which):
    spec = stand.custom(predict=BEGETS + "return {'y': input_data['x'][:, 0]}")

    async def main():
        launcher = stand.launcher
        worker = await launcher.start(spec)
        folder = private_folder(worker)
        link = stand.link(worker, spec)
        assert (await asyncio.to_thread(link.send, row))[0] == {"y": [1.0]}
        pids = [worker.pid, *pids_in(folder)]
        psutil.Process(worker.pid).parents()[which].kill()
        assert (await asyncio.wait_for(worker.wait(), 60)).startswith("killed by SIGKILL (signal 9)")
        await asyncio.to_thread(wait_until, lambda: not any(map(alive, pids)))
        launcher.close()
        assert not folder.exists()

    asyncio.run(main())


def test_a_worker_that_dies_is_replaced_and_its_requests_get_the_reason(stand, row):
    spec = stand.custom(predict="if input_data['x'][0, 0] < 0: os._exit(1)\nreturn {'y': input_data['x'][:, 0]}")
    ready, gone = [], []

    async def main():
        workers = WorkerSet(stand.launcher, spec, count=2, on_ready=ready.append, on_gone=gone.append)
        async with workers:
            await asyncio.sleep(0)
            assert workers.ready == 2
            victim = ready[0]
            os.kill(victim.pid, signal.SIGKILL)
            while len(ready) < 3:
                await asyncio.sleep(0.01)
            assert gone == [victim]
            assert (await victim.wait()).startswith("killed by SIGKILL (signal 9)")
            assert all(isinstance(state, Ready) for state in workers.states)
            answer = await asyncio.to_thread(stand.link(ready[2], spec).send, row)
            assert answer[0] == {"y": [1.0]}
        assert set(gone) == set(ready)

    asyncio.run(main())
    assert not any(alive(worker.pid) for worker in ready)


def test_a_worker_that_cannot_start_again_fails_in_the_end_and_says_why(stand):
    spec = stand.custom(
        create="open(config.model_path / 'weights').close()\n" + "made = self.inference()\nmade.model = 1\nreturn made"
    )
    (stand.root(spec) / "weights").touch()
    policy = BackoffPolicy(first_s=0.01, give_up_after=2)
    ready = []

    async def main():
        workers = WorkerSet(stand.launcher, spec, on_ready=ready.append, on_gone=lambda _: None, policy=policy)
        async with workers:
            await asyncio.sleep(0)
            (stand.root(spec) / "weights").unlink()
            ready[0].kill()
            while not isinstance(workers.states[0], Failed):
                await asyncio.sleep(0.01)
            assert "FileNotFoundError" in workers.states[0].error.message

    asyncio.run(main())


def test_ten_restarts_leave_no_open_files_and_no_folders(stand):
    spec = stand.custom()
    me = psutil.Process()

    async def main():
        launcher = stand.launcher
        for turn in range(11):
            worker = await launcher.start(spec)
            os.kill(worker.pid, signal.SIGKILL)
            await worker.wait()
            if turn == 0:
                await asyncio.sleep(0.2)
                before = (me.num_fds(), me.num_threads())
        # Fewer is fine: links of earlier tests close when their memory is freed.
        async with asyncio.timeout(60):
            while me.num_fds() > before[0] or me.num_threads() > before[1] + 1:
                await asyncio.sleep(0.05)
        assert len(list(stand.short_folder.iterdir())) == 1
        launcher.close()

    asyncio.run(main())
    assert not list(stand.short_folder.iterdir())


def test_a_client_that_keeps_its_stream_open_does_not_hold_up_the_end(stand, row):
    spec = stand.custom()

    async def main():
        worker = await stand.launcher.start(spec)
        link = stand.link(worker, spec)
        await asyncio.to_thread(link.send, row)
        async with asyncio.timeout(60):
            await worker.stop(1000)
        assert (await worker.wait()).startswith("ended by Trivet")

    asyncio.run(main())
