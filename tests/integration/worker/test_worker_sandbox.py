"""A model reads its own files and writes its scratch folder, whatever it tries."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from trivet.errors import Unavailable
from trivet.workers.processes import Sandbox
from trivet_tests import old_kernel
from trivet_tests.own_tmp import OWN_TMP
from trivet_worker.sandbox import landlock_abi

ABI = landlock_abi()
needs_landlock = pytest.mark.skipif(ABI == 0, reason="this kernel has no Landlock")
TEXT = pa.schema([pa.field("code", pa.string())])

RUNS = """
import json, os, sys
def process_data(data):
    found = []
    for code in data["code"]:
        names = {}
        try:
            exec(str(code), names)
            found.append(json.dumps(names.get("out", "done")))
        except BaseException as error:
            found.append(json.dumps(type(error).__name__))
    return {"said": np.array(found, dtype=object)}
import numpy as np
"""


@pytest.fixture
def attempts(stand):
    """Runs pieces of code in one worker; gives what each of them set as `out`, `done`, or the type of its exception."""

    def run(*codes: str, network: bool = True, **more) -> list:
        said = pa.schema([pa.field("said", pa.string())])
        spec = replace(stand.step(RUNS), input_schema=TEXT, output_schema=said, network=network)

        async def main():
            worker = await stand.launcher_with(**more).start(spec)
            try:
                link = stand.link(worker, spec)
                answer, problem = await asyncio.to_thread(link.send, list(codes))
                assert answer is not None, problem
                await asyncio.to_thread(link.close)
            finally:
                await worker.stop(5)
            return [json.loads(text) for text in answer["said"]]

        return asyncio.run(main())

    return run


@needs_landlock
def test_a_model_opens_no_files_but_its_own(stand, attempts):
    for name in ("token", "catalog.db", "blobs/one", "packages/other/files/model.py", "envs/other/lib/x.py"):
        (stand.home / name).parent.mkdir(parents=True, exist_ok=True)
        (stand.home / name).write_text("secret")
    secrets = [path for path in stand.home.rglob("*") if path.is_file()]
    refused = [
        *(f"open({str(path)!r}).read()" for path in secrets),
        *(f"open({str(path)!r}, 'a').write('x')" for path in secrets),
        *(f"import os; os.unlink({str(path)!r})" for path in secrets),
        *(f"import os; os.truncate({str(path)!r}, 0)" for path in secrets if ABI >= 3),
        *(f"import os; os.link({str(path)!r}, 'linked'); open('linked').read()" for path in secrets),
        *(
            f"import os; os.symlink({str(path)!r}, f'to{{os.getpid()}}'); open(f'to{{os.getpid()}}').read()"
            for path in secrets[:1]
        ),
        f"import os; os.rename({str(secrets[0])!r}, 'mine')",
        f"import os; os.listdir({str(stand.home / 'blobs')!r})",
        f"import os; os.mkdir({str(stand.home / 'made')!r})",
        f"import subprocess; subprocess.run(['cat', {str(secrets[0])!r}], check=True)",
        "import os; os.listdir('/')",
        *(() if OWN_TMP else ("import os; os.listdir('/tmp')", "open('/tmp/trivet-made', 'w')")),
        "open('/etc/shadow').read()",
        "open('/etc/trivet-made', 'w')",
        f"open('/proc/{os.getpid()}/environ', 'rb').read()",
        f"open('/proc/{os.getpid()}/maps', 'rb').read()",
        f"import os; os.listdir('/proc/{os.getpid()}/root/')",
        f"open('/proc/{os.getpid()}/fd/1', 'w')",
        "import os; open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
        "import json; open(json.__file__, 'a').write('x')",
        "import numpy; open(numpy.__file__, 'a').write('x')",
        "import pyarrow, os; os.unlink(pyarrow.__file__)",
        "import sys, pathlib; pathlib.Path(sys.modules['trivet_worker'].__file__).write_text('x')",
        "import pathlib, sys; (pathlib.Path(sys.path[0]) / 'made.py').write_text('x')",
        "import os; os.mknod('device', 0o020666, os.makedev(1, 1)); open('device', 'rb').read(1)",
        "import os; os.open('/dev/mem', os.O_RDONLY)",
    ]
    answers = dict(zip(refused, attempts(*refused), strict=True))
    errors = {"PermissionError", "FileNotFoundError", "CalledProcessError", "OSError"}
    assert {code: said for code, said in answers.items() if said not in errors} == {}
    assert all(path.read_text() == "secret" for path in secrets)


@needs_landlock
@pytest.mark.skipif(os.getuid() != 0, reason="only root gives a worker a user id of its own")
def test_a_worker_of_root_has_a_user_of_its_own(stand, attempts):
    stand.home.mkdir(parents=True)
    token = stand.home / "token"
    token.write_text("secret")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        uid, user, *refused = attempts(
            "import os; out = [os.getuid(), os.geteuid(), os.getgid(), os.getgroups()]",
            "import getpass; out = getpass.getuser()",
            f"import os; os.chmod({str(token)!r}, 0o666)",
            f"import os; os.utime({str(token)!r})",
            f"import resource; resource.prlimit({other.pid}, resource.RLIMIT_CPU, (0, 0))",
            f"import os; os.setpriority(os.PRIO_PROCESS, {other.pid}, 19)",
            f"import os; os.sched_setaffinity({other.pid}, [0])",
            "import os; os.setuid(0)",
            "import os; os.chroot('.')",
            "import ctypes, os; c = ctypes.CDLL(None, use_errno=True); c.mount(b'none', b'.', b'tmpfs', 0, None) and 1/0",
        )
        other.kill()
    assert uid[0] == uid[1] > 60000
    assert uid[2] == uid[0]
    assert user
    assert set(refused) <= {"PermissionError", "FileNotFoundError", "ZeroDivisionError"}
    assert token.stat().st_mode & 0o077 == 0o044 & token.stat().st_mode


@pytest.mark.skipif(ABI < 6, reason="this kernel's Landlock does not cover signals and abstract sockets")
def test_a_model_signals_and_reaches_no_other_process(attempts):
    name = f"trivet-test-{os.getpid()}-{time.monotonic_ns()}"
    with (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other,
        socket.socket(socket.AF_UNIX) as door,
    ):
        door.bind("\0" + name)
        door.listen()
        said = attempts(
            f"import os; os.kill({other.pid}, 0)",
            f"import os, signal; os.kill({other.pid}, signal.SIGKILL)",
            "import os, signal; os.kill(os.getppid(), signal.SIGTERM)",
            f"import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}')",
        )
        assert other.poll() is None
        other.kill()
    assert said == ["PermissionError"] * 4


def test_a_model_uses_its_own_folder_processes_and_devices(attempts):
    said = attempts(
        "open('mine', 'w').write('x'); out = open('mine').read()",
        "import os; os.makedirs('a/b'); open('a/f', 'w').close(); os.rename('a/f', 'a/b/f'); out = os.listdir('a/b')",
        "import tempfile; f = tempfile.NamedTemporaryFile(); f.write(b'x'); out = 'done'",
        "import pathlib; p = pathlib.Path.home() / '.cache' / 'lib'; p.mkdir(parents=True); (p / 'x').write_text('x')",
        "import multiprocessing as m; q = m.get_context('fork').Pool(2); out = q.map(abs, [-1, 2]); q.terminate()",
        "import multiprocessing as m; q = m.get_context('spawn').Pool(1); out = q.map(abs, [-1, 2]); q.terminate()",
        "from multiprocessing import shared_memory as s; b = s.SharedMemory(create=True, size=8); b.buf[0] = 3; out = b.buf[0]; b.close(); b.unlink()",
        "import subprocess, sys; out = subprocess.run([sys.executable, '-c', 'import numpy; print(1)'], capture_output=True, text=True).stdout",
        "import subprocess; out = subprocess.run('echo $((1+1))', shell=True, capture_output=True, text=True).stdout",
        "import os, signal, subprocess; p = subprocess.Popen(['sleep', '60']); os.kill(p.pid, signal.SIGTERM); out = p.wait()",
        "import os; out = len(os.listdir('/proc/self/fd')) > 3 and os.cpu_count() > 0",
        "import ssl, socket; ssl.create_default_context(); out = socket.getaddrinfo('localhost', 80)[0][4][0] in ('127.0.0.1', '::1')",
        "import socket; a = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen(); b = socket.create_connection(a.getsockname()); out = 'done'",
        "open('/dev/null', 'w').write('x'); out = len(open('/dev/urandom', 'rb').read(4))",
        "open('/dev/stderr', 'w').write('words\\n')",
        "import os, numpy; out = os.access(numpy.__file__, os.R_OK) and os.access('.', os.W_OK)",
        "import ctypes.util, zoneinfo; zoneinfo.ZoneInfo('UTC'); out = ctypes.CDLL('libc.so.6').abs(-3)",
    )
    assert said == [
        "x", ["f"], "done", "done", [1, 2], [1, 2], 3, "1\n", "2\n", -signal.SIGTERM, True, True, "done", 4, "done", True, 3,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("network", "sandbox"),
    [(True, Sandbox(network=False)), (False, Sandbox()), (False, Sandbox(mode="off"))],
    ids=["the operator's setting", "the model's own", "the model's own, without a sandbox"],
)
def test_without_the_network_a_model_makes_no_internet_sockets(attempts, network, sandbox):
    said = attempts(
        "import socket; socket.socket(socket.AF_INET)",
        "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "import socket; socket.socketpair(); socket.socket(socket.AF_UNIX)",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import socket; socket.socket()'], check=True)",
        network=network,
        sandbox=sandbox,
    )
    assert said == ["PermissionError"] * 3 + ["done", "CalledProcessError"]


@needs_landlock
def test_a_model_reads_what_the_operator_grants(stand, attempts):
    granted = stand.folder / "granted"
    granted.mkdir()
    (granted / "weights").write_text("given")
    code = f"out = open({str(granted / 'weights')!r}).read()"
    assert attempts(code)[0] in {"PermissionError", "FileNotFoundError"}
    said = attempts(code, f"open({str(granted / 'new')!r}, 'w')", sandbox=Sandbox(readable=(granted,)))
    assert said[0] == "given"
    assert said[1] in {"PermissionError", "OSError"}  # in /tmp it is mounted read-only


@needs_landlock
def test_the_home_is_hidden_in_a_granted_folder(stand, attempts):
    (stand.folder / "beside").write_text("beside")
    stand.home.mkdir(parents=True)
    (stand.home / "token").write_text("secret")
    (stand.folder / "link").symlink_to(stand.home)
    said = attempts(
        f"out = open({str(stand.folder / 'beside')!r}).read()",
        f"out = open({str(stand.home / 'token')!r}).read()",
        sandbox=Sandbox(readable=(stand.folder,)),
    )
    assert said == ["beside", "PermissionError"]


def test_without_the_sandbox_a_model_has_the_users_rights(stand, attempts):
    (stand.folder / "beside").write_text("beside")
    assert attempts(f"out = open({str(stand.folder / 'beside')!r}).read()", sandbox=Sandbox(mode="off")) == ["beside"]


@needs_landlock
def test_a_required_sandbox_is_there(attempts):
    assert attempts("out = 1", sandbox=Sandbox(mode="required")) == [1]


@needs_landlock
def test_code_of_the_environment_runs_inside_the_sandbox(stand, tmp_path):
    environment, leak = tmp_path / "environment", tmp_path / "leak"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    (packages / "own.pth").write_text(next(Path(p) for p in sys.path if p.endswith("site-packages")).as_posix() + "\n")
    (packages / "early.pth").write_text(
        f"import sys, os; sys.early = os.access({str(tmp_path)!r}, 0); open({str(leak)!r}, 'w')\n"
    )
    (packages / "sitecustomize.py").write_text("import sys; sys.customized = True\n")
    other = replace(stand, python=environment / "bin/python")
    spec = replace(other.step(RUNS), input_schema=TEXT, output_schema=pa.schema([pa.field("said", pa.string())]))

    async def main():
        readable = (Path(sys.prefix),)
        worker = await other.launcher_with(sandbox=Sandbox(readable=readable)).start(spec)
        try:
            link = other.link(worker, spec)
            code = "import sys; out = [sys.customized, sys.prefix, sys.flags.no_site]"
            answer, _ = await asyncio.to_thread(link.send, [code])
            await asyncio.to_thread(link.close)
        finally:
            await worker.stop(5)
        return json.loads(answer["said"][0])

    assert asyncio.run(main()) == [True, str(environment), 0]
    assert not leak.exists()


def test_a_required_sandbox_that_is_missing_ends_the_worker(stand):
    interpreter = stand.folder / "python"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} {old_kernel.__file__} {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    old = replace(stand, python=interpreter)

    async def started(mode: str) -> tuple[str, ...]:
        worker = await old.launcher_with(sandbox=Sandbox(mode=mode)).start(old.custom())
        await worker.stop(5)
        return worker.protections

    with pytest.raises(Unavailable) as refused:
        asyncio.run(started("required"))
    assert (refused.value.reason, refused.value.why) == ("sandbox_missing", "this kernel has no Landlock")
    assert asyncio.run(started("on")) == ("seccomp",)


def test_a_model_does_not_report_its_own_protections(stand):
    forged = """
    import os, stat
    for number in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                os.write(number, b'{"event": "restricted", "protections": ["landlock 99", "no network"]}\\n')
        except OSError:
            pass
    """
    spec = stand.custom(top=forged)

    async def started() -> tuple[str, ...]:
        worker = await stand.launcher_with(sandbox=Sandbox(mode="off")).start(spec)
        await worker.stop(5)
        return worker.protections

    assert asyncio.run(started()) == ()
