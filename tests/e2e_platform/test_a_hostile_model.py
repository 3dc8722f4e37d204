"""A model of a platform that tries to read, write, signal and connect everywhere, and says what it could."""

import contextlib
import json
import os
import re
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from trivet_tests.own_tmp import OWN_TMP
from trivet_tests.platform import Platform, worker_records
from trivet_worker.sandbox import landlock_abi

ROOT = os.geteuid() == 0
pytestmark = pytest.mark.skipif(landlock_abi() < 6, reason="this kernel's Landlock does not cover all of it")

HOSTILE = """
import ctypes, json, mmap, os, resource, signal, socket, struct, sys
import numpy as np

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def read(path):
    with open(path, "rb") as file:
        file.read(1)


def write(path):
    os.close(os.open(path, os.O_WRONLY))


def connect(path, first=b"x"):
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(20)
        door.connect(path)
        door.sendall(first)
        if not door.recv(1):
            raise ConnectionError("no answer")


def tcp(port, said=b""):
    with socket.create_connection(("127.0.0.1", port), 20) as door:
        door.sendall(said)
        if said:
            return door.recv(100).split(b" ")[1].decode()


def udp(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.sendto(b"x", ("127.0.0.1", port))


def attach(pid):
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    if libc.ptrace(16, pid, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "refused")


def peek(pid):
    words = ctypes.create_string_buffer(struct.pack("PNPN", ctypes.addressof(ctypes.create_string_buffer(8)), 8, 4194304, 8))
    here = ctypes.addressof(words)
    call(310 if os.uname().machine == "x86_64" else 270, pid, here, 1, here + 16, 1, 0)


def process_data(data):
    said = []
    for code in data["code"]:
        names = dict(globals())
        try:
            exec(str(code), names)
            said.append(json.dumps(names.get("out", True)))
        except BaseException:
            said.append("null")
    return {"said": np.array(said, dtype=object)}
"""
QUIET = """
import numpy as np

def process_data(data):
    return {"said": np.array(["quiet"] * len(data["code"]), dtype=object)}
"""
SCHEMAS = {"input_schema": "code: string", "output_schema": "said: string"}


def zipped(folder: Path, name: str, source: str) -> Path:
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("step.py", source)
        archive.writestr("requirements.txt", "")
    return path


def could(platform: Platform, pipeline: str, attempts: dict[str, str]) -> dict[str, Any]:
    """What of the attempts worked."""
    answer = platform.infer(pipeline, [{"code": code} for code in attempts.values()], timeout=120)
    assert answer.status_code == 200, answer.text
    said = [json.loads(row["out"]["said"]) for row in answer.json()]
    return {name: value for name, value in zip(attempts, said, strict=True) if value is not None}


@pytest.fixture(scope="module")
def hostile(shared_platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The version of the model, which is deployed twice, beside the worker of another one."""
    folder = tmp_path_factory.mktemp("packages")
    versions = {}
    for name, source in (("victim", QUIET), ("hostile", HOSTILE)):
        versions[name] = shared_platform.upload(name, zipped(folder, name, source), framework="python", **SCHEMAS)
        assert versions[name]["status"] == "ready", versions[name]
        status = shared_platform.deploy(name, versions[name])["status"]
        assert status["state"] == "Running", status
    shared_platform.deploy("twin", versions["hostile"])
    return versions["hostile"]


def record_of(platform: Platform, pipeline: str) -> dict[str, Any]:
    """Of the worker that answers a pipeline of the hostile model."""
    (pid,) = could(platform, pipeline, {"pid": "out = os.getpid()"}).values()
    (record,) = (each for each in worker_records(platform.home) if each["model_pid"] == pid)
    return record


def socket_of(record: dict[str, Any]) -> str:
    return str(record["worker"]["location"].removeprefix("grpc+unix://"))


@pytest.mark.usefixtures("hostile")
def test_a_model_opens_no_file_of_the_platform_or_of_others(shared_platform: Platform, tmp_path: Path) -> None:
    home = shared_platform.home
    own = record_of(shared_platform, "hostile")
    (tmp_path / "beside").write_text("a file of the platform's user")
    package = next(path for path in (home / "packages").rglob("step.py") if "libc.ptrace" in path.read_text())
    environment = Path(psutil.Process(own["model_pid"]).cmdline()[0]).parent.parent
    others = [
        *(path for name in ("run", "blobs", "logs", "packages", "worker") for path in (home / name).rglob("*")),
        *(home / name for name in ("token", "catalog.db", "config.toml")),
        *(path for path in home.resolve().glob("envs/*/pyvenv.cfg") if path.parent.name != environment.name),
        *(tmp_path / "beside", Path("/etc/shadow"), Path("/etc/gshadow"), Path("/etc/ssh/sshd_config"), Path.home()),
    ]
    code = (home / "worker").resolve()
    of_its_own = {package, package.with_name("requirements.txt"), Path(own["log"])}
    files = [
        path for path in others if path.is_file() and code not in path.resolve().parents and path not in of_its_own
    ]
    assert {"token", "catalog.db", "routes.json", "platform.json"} <= {path.name for path in files}
    folders = [home, *(path for path in home.iterdir() if path.is_dir()), Path("/"), Path.home()]
    if not OWN_TMP:
        folders.append(Path("/tmp"))
    attempts = {f"read {path}": f"read({str(path)!r})" for path in [*files, package, environment / "pyvenv.cfg"]}
    attempts |= {f"list {path}": f"out = os.listdir({str(path)!r})" for path in folders}
    for path in [*files, package, environment / "pyvenv.cfg", *sorted(code.rglob("server.py"))]:
        attempts |= {
            f"write {path}": f"write({str(path)!r})",
            f"truncate {path}": f"os.truncate({str(path)!r}, 0)",
            f"replace {path}": f"open('mine', 'w').close(); os.replace('mine', {str(path)!r})",
            f"link {path}": f"os.link({str(path)!r}, 'linked'); read('linked')",
        }
    attempts |= {f"create in {path}": f"open({str(path / 'made')!r}, 'w')" for path in [*folders, package.parent]}
    if ROOT:
        attempts |= {f"mode {path}": f"os.chmod({str(path)!r}, 0o777)" for path in files}
    succeeded = could(shared_platform, "hostile", attempts)
    # A home in /tmp is in the model's own /tmp, as far as it leads to the model's files.
    shown = {path: set(succeeded.pop(f"list {path}", ())) for path in folders}
    assert shown[home] <= {"envs", "packages", "worker"}
    assert shown[home / "packages"] <= {package.relative_to(home / "packages").parts[0]}
    assert {path for path, names in shown.items() if names} <= {home, *(home / name for name in shown[home])}
    assert set(succeeded) == {f"read {package}", f"read {environment / 'pyvenv.cfg'}"}
    # The scratch folder is its own, and the system's libraries are for all.
    # Its log is a file that it writes, and does not read. The workers of one version share it.
    log = own["log"]
    assert log == record_of(shared_platform, "twin")["log"]
    attempts = {
        "scratch": "open('mine', 'w').write('x'); read('mine')",
        "library": "read(json.__file__)",
        "write log": f"write({log!r})",
        "write stderr": "write('/dev/stderr')",
        "read log": f"read({log!r})",
        "replace log": f"open('mine', 'w').close(); os.replace('mine', {log!r})",
    }
    for pipeline in ("hostile", "twin"):
        # A home in /tmp is not in the model's own /tmp, so neither is the log: it is written as /dev/stderr then.
        writes = set() if OWN_TMP and log.startswith("/tmp/") else {"write log"}
        assert set(could(shared_platform, pipeline, attempts)) == {"scratch", "library", "write stderr", *writes}


@pytest.mark.usefixtures("hostile")
def test_a_model_sees_and_changes_no_other_process(shared_platform: Platform) -> None:
    own = record_of(shared_platform, "hostile")["model_pid"]
    assert shared_platform.process is not None
    pids = {shared_platform.process.pid, os.getpid(), *(each.pid for each in shared_platform.processes())} - {own}
    assert len(pids) >= 12, "the parent, three processes, three workers with two guardians each, and this one"
    attempts = {}
    for pid in pids:
        proc = f"/proc/{pid}"
        attempts |= {
            **{f"{name} of {pid}": f"read('{proc}/{name}')" for name in ("mem", "environ", "maps", "auxv", "stack")},
            **{f"{name} of {pid}": f"os.listdir('{proc}/{name}/')" for name in ("cwd", "root")},
            **{f"descriptor {number} of {pid}": f"os.readlink('{proc}/fd/{number}')" for number in range(3)},
            **{f"file {number} of {pid}": f"read('{proc}/fd/{number}')" for number in range(3)},
            f"program of {pid}": f"os.readlink('{proc}/exe')",
            f"attach to {pid}": f"attach({pid})",
            f"peek at {pid}": f"peek({pid})",
            f"descriptor of {pid}": f"call(438, os.pidfd_open({pid}), 0, 0)",
            f"signal to {pid}": f"os.kill({pid}, signal.SIGCONT)",
            f"signal by descriptor to {pid}": f"signal.pidfd_send_signal(os.pidfd_open({pid}), signal.SIGCONT)",
            f"limits of {pid}": f"resource.prlimit({pid}, resource.RLIMIT_CORE, (0, 0))",
        }
        if ROOT:
            attempts |= {
                f"priority of {pid}": f"os.setpriority(os.PRIO_PROCESS, {pid}, 19)",
                f"cores of {pid}": f"os.sched_setaffinity({pid}, os.sched_getaffinity({pid}))",
            }
    assert could(shared_platform, "hostile", attempts) == {}


@pytest.mark.usefixtures("hostile")
def test_what_a_model_sees_of_processes_holds_no_secret(shared_platform: Platform) -> None:
    """Arguments are open to every process of a machine."""
    tokens = {record["worker"]["token"] for record in worker_records(shared_platform.home)} | {shared_platform.token}
    assert shared_platform.process is not None
    lines = {f"{each.pid}": f"out = open('/proc/{each.pid}/cmdline').read()" for each in shared_platform.processes()}
    found = could(shared_platform, "hostile", {**lines, "own": "out = json.dumps(dict(os.environ))"})
    assert set(found) == {*lines, "own"}
    shown = json.dumps(found)
    assert [token for token in tokens if token in shown] == []
    assert re.findall(r"(?<![0-9a-f/])[0-9a-f]{64}(?![0-9a-f/])", "".join(found[pid] for pid in lines)) == []
    logs = [path.read_text(errors="replace") for path in (shared_platform.home / "logs").rglob("*") if path.is_file()]
    assert [token for token in tokens for log in logs if token in log] == []


@pytest.mark.usefixtures("hostile")
def test_no_socket_of_another_process_answers_a_model(shared_platform: Platform) -> None:
    (victim,) = (record for record in worker_records(shared_platform.home) if record["name"] == "victim")
    doors = [
        *(str(path) for path in (shared_platform.home / "run").glob("*.sock")),
        socket_of(victim),
    ]
    assert len(doors) == 3
    name = f"trivet-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0{name}")
        abstract.listen()
        attempts = {door: f"connect({door!r})" for door in doors}
        attempts |= {
            f"{door} as HTTP/2": f"connect({door!r}, b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n')" for door in doors
        }
        attempts["abstract"] = f"connect('\\0{name}')"
        found = set(could(shared_platform, "hostile", attempts))
    # Flight greets every connection of the same user before it asks for the token of a call.
    assert found == (set() if ROOT else {f"{doors[-1]} as HTTP/2"})
    assert shared_platform.infer("victim", [{"code": ""}]).status_code == 200


@contextlib.contextmanager
def listening() -> Iterator[tuple[int, int]]:
    """Ports of TCP and UDP of this process."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        yield tcp.getsockname()[1], udp.getsockname()[1]


def test_a_model_without_the_network_reaches_nothing_of_it(shared_platform: Platform, hostile: dict[str, Any]) -> None:
    address = f"/v1/versions/{hostile['uuid']}"
    config = shared_platform.call("POST", f"{address}/configurations", json={"network": "none"})
    deployment = shared_platform.deploy("offline", {**hostile, "config_id": config["id"]})
    control = int(shared_platform.control_url.rpartition(":")[2])
    with listening() as (tcp, udp):
        attempts = {
            "TCP": f"tcp({tcp})",
            "UDP": f"udp({udp})",
            "bind": "socket.socket().bind(('127.0.0.1', 0))",
            "IPv6": "socket.socket(socket.AF_INET6)",
            "routes": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
            "packets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
            "virtual machines": "socket.socket(socket.AF_VSOCK)",
            "control": f"out = tcp({control}, b'GET /v1/models HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')",
        }
        open_to_it = could(shared_platform, "hostile", attempts)
        assert could(shared_platform, "offline", attempts) == {}
    # With the network, what listens on this machine is in reach; the control API asks for its token.
    assert open_to_it.pop("control") == "401"
    assert {"TCP", "UDP", "bind"} <= set(open_to_it) <= {"TCP", "UDP", "bind", "IPv6", "routes", "virtual machines"}
    # The version and the deployment say so.
    version = shared_platform.call("GET", address)
    assert (version["network"], "network" in version["protections"]["open"]) == ("none", True)
    (worker,) = deployment["status"]["workers"]
    assert worker["protections"] == {
        "landlock": landlock_abi(),
        "own_user": ROOT,
        "own_tmp": OWN_TMP,
        "closed": [*version["protections"]["closed"], "network"],
        "open": [] if ROOT else ["modes of files and priorities of processes"],
    }


@pytest.mark.usefixtures("hostile")
def test_a_model_gets_no_rights_of_a_machine(shared_platform: Platform) -> None:
    attempts = {
        "root": "os.setuid(0)",
        "mount": "import ctypes; libc.mount(b'none', b'.', b'tmpfs', 0, None) == 0 or call(-1)",
        "mount in a namespace": "call(272 if os.uname().machine == 'x86_64' else 97, 0x10020000) "
        "or libc.mount(b'none', b'.', b'tmpfs', 0, None) == 0 or call(-1)",
        "device": "os.mknod('device', 0o020666, os.makedev(1, 1)); read('device')",
        "memory": "read('/dev/mem')",
        "kernel": "read('/proc/kcore')",
        "control groups": "write('/sys/fs/cgroup/cgroup.procs')",
        "system settings": "write('/proc/sys/kernel/hostname')",
        "handles": "call(304 if os.uname().machine == 'x86_64' else 265, 0, 0, 0)",
        "keys": "call(250 if os.uname().machine == 'x86_64' else 219, 0, -3, 0)",
    }
    assert could(shared_platform, "hostile", attempts) == {}
