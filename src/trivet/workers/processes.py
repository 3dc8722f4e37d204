"""Workers as processes of this machine: starts, adopts and ends them."""

import asyncio
import base64
import errno
import math
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from trivet.disk.log_file import LogFile
from trivet.domain.routes import WorkerAddress
from trivet.errors import BadEnvironment, Unavailable
from trivet.workers.adopt import AdoptedWorker, adopt_workers, end_process
from trivet.workers.devices import VISIBLE
from trivet.workers.events import PROTOCOL
from trivet.workers.folders import PrivateFolder, make_private_folder, sweep_stale_folders, worker_code
from trivet.workers.launcher import Adopted
from trivet.workers.left_folders import LeftFolders
from trivet.workers.log import FileLog, WorkerLog
from trivet.workers.process_worker import ProcessWorker
from trivet.workers.records import process_lives
from trivet.workers.spec import WorkerSpec

__all__ = ["Network", "ProcessLauncher", "Sandbox", "WorkerFiles"]

_PROGRAM = "import sys; sys.path.insert(0, {code!r}); from trivet_worker.__main__ import main; main()"
_MAX_EVENT_BYTES = 2**20

# The variables that a worker inherits: none of them may hold a secret.
_PASSED_ON = frozenset(
    {
        *("LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX"),
        *("LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *(VISIBLE, "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"),
        *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
        *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_CPP_MIN_LOG_LEVEL"),
        "ORT_DISABLE_TELEMETRY",
    }
)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# No telemetry of a model's libraries, unless the user's own environment allows it.
_QUIET = {"ORT_DISABLE_TELEMETRY": "1"}
# Those of them that name files, which a worker may then read.
_NAME_FILES = ("LD_LIBRARY_PATH", "CUDA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFiles:
    """The paths of a spec's files on this machine.

    Attributes:
        python: the environment's interpreter.
        package: the folder with the package's files.
    """

    python: Path
    package: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """How workers listen on TCP with TLS, instead of on a Unix socket in a private folder.

    All workers share the key: a worker, and so the code of its model, can answer in the place of any other one on this host.
    Tokens still keep it from calling them. Give models that do not trust each other launchers with their own keys.

    Attributes:
        host: the name or address in the certificate.
        certificate: in PEM, with its chain.
        key: in PEM.
        ca: in PEM: the CA with which clients check the certificate.
    """

    host: str
    certificate: str
    key: str
    ca: str

    def __repr__(self) -> str:
        return f"Network(host={self.host!r})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandbox:
    """What keeps workers to their own files.

    Attributes:
        mode: `on` where the kernel has it, `required`, or `off`.
        readable: files and folders that every worker may read.
        network: whether workers may use the network. A spec can refuse it for its own.
    """

    mode: str = "on"
    readable: tuple[Path, ...] = ()
    network: bool = True


class ProcessLauncher:
    """Starts workers as processes of this machine. Implements `Launcher`; call it in the event loop's thread.

    Args:
        environ: this process's environment; a worker inherits a few harmless variables of it.
        home: Trivet's home, with the worker's code and the logs.
        files: finds package and environment. Called in a thread; raises TrivetError.
        temporary: the parent of private folders; the system's temporary folder if None.
        lifeline: a pipe that another process holds open. Workers end with that process, and not with this one.
        records: the folder for the records of ready workers, so that they can be adopted; needs a lifeline.
        network: how workers listen; None for a Unix socket each.
        devices: the GPUs that are given to workers: each sees its own only. Without any, workers see what this process sees.
        sandbox: what keeps workers to their own files.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        home: Path,
        files: Callable[[WorkerSpec], WorkerFiles],
        temporary: Path | None = None,
        lifeline: int | None = None,
        records: Path | None = None,
        network: Network | None = None,
        devices: tuple[str, ...] = (),
        sandbox: Sandbox | None = None,
    ) -> None:
        self._environ = environ
        self._sandbox = sandbox or Sandbox()
        # A worker starts in a folder of its own.
        self._home = home.absolute()
        self._files = files
        self._temporary = temporary
        self._lifeline = lifeline
        self._records = records
        self._network = network
        self._devices = devices
        self._left = LeftFolders()
        self._workers: WeakValueDictionary[str, ProcessWorker | AdoptedWorker] = WeakValueDictionary()
        sweep_stale_folders(temporary)

    async def start(self, spec: WorkerSpec) -> ProcessWorker:
        """See `Launcher.start`."""
        files = await asyncio.to_thread(self._files, spec)
        # An environment's interpreter is a link that must not be resolved.
        files = WorkerFiles(python=files.python.absolute(), package=files.package.absolute())
        try:
            code = worker_code(self._home)
            folder = make_private_folder(self._temporary)
            left = self._left.take(spec)
            if left is not None:
                folder.take_tmp(left)
        except OSError as error:
            raise _no_place(spec, error) from error
        path = self._home / "logs" / f"{spec.log_name or spec.name}.log"
        log: WorkerLog | FileLog
        output = asyncio.subprocess.PIPE
        inherited: tuple[int, ...] = ()
        try:
            if self._lifeline is None:
                log = WorkerLog(LogFile(path))
            else:
                log, output = FileLog.opened(path)
                inherited = (self._lifeline, folder.lock)
        except OSError as error:
            folder.remove()
            raise _no_place(spec, error) from error
        try:
            process = await asyncio.create_subprocess_exec(
                files.python,
                *("-I", "-S", "-X", "faulthandler", "-c", _PROGRAM.format(code=str(code))),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                limit=_MAX_EVENT_BYTES,
                env=_worker_environ(
                    self._environ,
                    spec,
                    python=files.python,
                    scratch=folder.scratch,
                    hides_devices=bool(self._devices),
                ),
                cwd=folder.scratch,
                start_new_session=True,
                pass_fds=inherited,
            )
        except OSError as error:
            folder.remove()
            raise BadEnvironment(
                f"the interpreter of {spec.name}'s environment does not start",
                why=f"{files.python}: {error.strerror or error}",
                fix="rebuild the environment: `trivet env prune`, then serve",
            ) from error
        except BaseException:
            folder.remove()
            raise
        finally:
            if output != asyncio.subprocess.PIPE:
                os.close(output)
        location = f"grpc+unix://{folder.socket}" if self._network is None else f"grpc+tls://{self._network.host}:0"
        worker = ProcessWorker(
            process,
            folder=folder,
            log=log,
            location=location,
            token=secrets.token_hex(32),
            ca="" if self._network is None else self._network.ca,
            devices=spec.devices,
            records=self._records,
            on_crash=partial(self._left.leave, spec),
        )
        self._workers[worker.address.id] = worker
        try:
            await worker.load(spec, self._config_line(spec, files, folder, worker.address))
        except BaseException:
            worker.kill()
            await asyncio.shield(worker.wait())
            raise
        return worker

    def close(self) -> None:
        """Remove what workers left to others. Nothing is started any more."""
        self._left.clear()

    async def end(self, address: WorkerAddress) -> None:
        """See `Launcher.end`."""
        worker = self._workers.get(address.id)
        if worker is None:
            await end_process(address)
        else:
            worker.kill()
            await worker.wait()

    async def lives(self, address: WorkerAddress) -> bool:
        """See `Launcher.lives`."""
        return process_lives(address)

    async def adopt(self) -> list[Adopted]:
        """See `Launcher.adopt`. Records of workers that have ended are removed."""
        if self._records is None:
            return []
        found = adopt_workers(self._records)
        self._workers.update({worker.address.id: worker for worker in found})
        return [Adopted(worker=worker, fleet=worker.fleet) for worker in found]

    async def logs(self, address: WorkerAddress) -> str:
        """See `Launcher.logs`."""
        worker = self._workers.get(address.id)
        return "" if worker is None else await asyncio.to_thread(worker.log.tail)

    def _config_line(
        self, spec: WorkerSpec, files: WorkerFiles, folder: PrivateFolder, address: WorkerAddress
    ) -> bytes:
        config = {
            "protocol": PROTOCOL,
            "location": address.location,
            "token": address.token,
            "certificate": None if self._network is None else self._network.certificate,
            "key": None if self._network is None else self._network.key,
            "folder": str(folder.path),
            "package_root": str(files.package),
            "adapter": spec.adapter,
            "entry": {role: {"file": entry.file, "name": entry.name} for role, entry in spec.entry.items()},
            "files": dict(spec.files),
            "options": {} if spec.onnx is None else msgspec.to_builtins(spec.onnx),
            "input_schema": base64.b64encode(spec.input_schema.serialize()).decode(),
            "output_schema": base64.b64encode(spec.output_schema.serialize()).decode(),
            "scratch": str(folder.scratch),
            "memory_bytes": spec.memory_limit,
            "open_files": spec.open_files,
            "lifeline": self._lifeline,
            "lock": None if self._lifeline is None else folder.lock,
            "sandbox": self._sandbox.mode,
            "network": self._sandbox.network and spec.network,
            "readable": [*map(str, self._sandbox.readable), *_named_files(self._environ)],
            "home": str(self._home),
            "tmp": str(folder.tmp),
        }
        return msgspec.json.encode(config) + b"\n"


def _named_files(environ: Mapping[str, str]) -> list[str]:
    named = (path for name in _NAME_FILES for path in environ.get(name, "").split(os.pathsep))
    return [path for path in named if path.startswith("/") and path.strip("/")]


def _no_place(spec: WorkerSpec, error: OSError) -> Unavailable:
    return Unavailable(
        f"failed to create the files of the worker of {spec.name}",
        why=str(error),
        fix="check the free space, and that the user that runs Trivet may write there and open enough files",
        reason="disk_full" if error.errno == errno.ENOSPC else "home_not_writable",
    )


def _worker_environ(
    environ: Mapping[str, str], spec: WorkerSpec, *, python: Path, scratch: Path, hides_devices: bool
) -> dict[str, str]:
    """A worker's variables: harmless ones of ours, then its deployment's, then those that Trivet sets itself."""
    passed = {name: value for name, value in environ.items() if name in _PASSED_ON}
    # By default each worker starts one thread a core, which spin while they wait: two cores then answer half as many requests.
    # A user who sets one of the variables means all libraries: OpenBLAS and MKL read OpenMP's where their own is missing.
    shared = {}
    if passed.keys().isdisjoint(_THREADS):
        shared = dict.fromkeys(_THREADS, str(max(1, ((os.cpu_count() or 1) - 1) // spec.workers)))
    granted = {}
    if spec.resources.cpus is not None:
        granted = dict.fromkeys(_THREADS, str(max(1, math.ceil(spec.resources.cpus))))
    folders = [str(python.parent), environ.get("PATH", os.defpath)]
    own = {"PATH": os.pathsep.join(folders), "HOME": str(scratch), "TMPDIR": str(scratch)}
    if spec.devices:
        own[VISIBLE] = ",".join(spec.devices)
    elif hides_devices:
        # All devices would be in sight of a worker that was given none; the deployment's own variable may still say so.
        granted[VISIBLE] = ""
    return _QUIET | shared | passed | granted | spec.resources.env | own
