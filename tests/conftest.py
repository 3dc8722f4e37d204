"""What every suite may ask for: the documents and cases beside a checkout, homes for Trivet, and interpreters."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

PROJECT = Path(__file__).resolve().parent.parent

# How long an example takes depends on what else the machine does.
settings.register_profile("trivet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trivet")

# The slow folders first, so that no worker of pytest-xdist ends with a long file of its own.
SLOW_FIRST = ("e2e_platform", "docs", "e2e", "e2e_examples", "integration")
# Files that measure time under load: on one worker, one after another.
UNDER_LOAD = {"test_random_kills.py", "test_swapping_under_load.py", "test_undisturbed.py"}


# A shell starts background jobs with SIGINT ignored, `nohup` with SIGHUP, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.collectonly:
        # No snapshot is used by tests that are only listed.
        config.option.warn_unused_snapshots = True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: slowness(item.path))


def slowness(path: Path) -> int:
    folder = path.relative_to(PROJECT / "tests").parts[0]
    return SLOW_FIRST.index(folder) if folder in SLOW_FIRST else len(SLOW_FIRST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files, not tests, are spread over workers: what a module shares is started once. Pages share nothing."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0].rpartition("/")[2]
            if file in UNDER_LOAD:
                return "under load"
            return nodeid if file == "test_what_pages_say_to_type_works.py" else super()._split_scope(nodeid)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


def beside_checkout(name: str, *, override: str) -> Path:
    """A folder that lies beside the checkout, not in it: without it CI fails and everyone else skips."""
    folder = Path(os.environ.get(override) or PROJECT.parent / "shared" / name)
    if folder.is_dir():
        return folder.resolve()
    message = f"there is no folder {folder}; name one with {override}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def conformance() -> Path:
    """Models and data that nobody on this project made, with the answers that are known for them."""
    return beside_checkout("conformance", override="TRIVET_CONFORMANCE")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The documents that this project implements."""
    return beside_checkout("reference", override="TRIVET_REFERENCE")


@pytest.fixture(scope="session")
def shared_home() -> Path:
    """A home that outlives the run, so that environments are built once: two runs may use it at the same time."""
    home = Path(os.environ.get("TRIVET_TEST_HOME") or PROJECT / ".cache" / "test-home")
    home.mkdir(parents=True, exist_ok=True)
    return home.resolve()


@pytest.fixture(scope="session")
def first_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog as a first start creates it, for copies: to create it takes half a second of a processor."""
    from trivet.catalog import open_catalog

    path = tmp_path_factory.mktemp("catalog") / "catalog.db"
    open_catalog(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def free_home(tmp_path: Path, shared_home: Path) -> Iterator[Path]:
    """A fresh home that nobody else sees, but for its environments, which are the shared ones."""
    home = make_home(tmp_path, shared_home)
    yield home
    make_removable(home)


@pytest.fixture
def own_environments(free_home: Path, shared_home: Path) -> None:
    """Environments of the free home's own, from the packages that others fetched: no other test builds or prunes there."""
    environments = free_home / "envs"
    environments.unlink()
    environments.mkdir(mode=0o700)
    cache = shared_home / "envs" / "uv-cache"
    cache.mkdir(exist_ok=True)
    (environments / "uv-cache").symlink_to(cache, target_is_directory=True)


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory, shared_home: Path) -> Iterator[Path]:
    """Such a home that the tests of a module share."""
    home = make_home(tmp_path_factory.mktemp("module"), shared_home)
    yield home
    make_removable(home)


def make_home(folder: Path, shared_home: Path) -> Path:
    home = folder / "home"
    home.mkdir(mode=0o700)
    (shared_home / "envs").mkdir(exist_ok=True)
    (home / "envs").symlink_to(shared_home / "envs", target_is_directory=True)
    return home


def make_removable(folder: Path) -> None:
    """Packages are kept read-only; pytest could not remove them."""
    for root, _, _ in os.walk(folder, followlinks=False):
        if not Path(root).is_symlink():
            Path(root).chmod(0o700)


@pytest.fixture
def flag_file() -> Iterator[Path]:
    """A file that is missing, and whose being there model code notices: a model has a `/tmp` of its own, where tests have their folders."""
    with tempfile.TemporaryDirectory(prefix="trivet-flag-", dir="/var/tmp") as folder:
        yield Path(folder) / "flag"


@pytest.fixture(scope="session")
def nth_failure() -> ModuleType:
    """The module `nth_failure` beside this file: makes the n-th file operation fail."""
    spec = importlib.util.spec_from_file_location("nth_failure", Path(__file__).with_name("nth_failure.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def interpreter() -> Callable[[str], Path]:
    """`interpreter("3.8")` is a Python of that minor version that runs; where there is none the test is skipped."""
    found: dict[str, Path | None] = {}

    def find(version: str) -> Path:
        if version not in found:
            found[version] = next((path for path in candidates(version) if runs(path, version)), None)
        path = found[version]
        if path is None:
            pytest.skip(f"no Python {version} that runs: on PATH, in uv's store, or in pyenv's versions")
        return path

    return find


def candidates(version: str) -> Iterator[Path]:
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    pyenvs = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
    # With another HOME pyenv is still where its shims are.
    pyenvs += [Path(folder).parent for folder in os.get_exec_path() if Path(folder).name == "shims"]
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    for pyenv in pyenvs:
        yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python3"), reverse=True)
    yield from sorted((data / "uv" / "python").glob(f"cpython-{version}.*/bin/python3"), reverse=True)


def runs(path: Path, version: str) -> bool:
    """A pyenv shim lies on PATH for versions that are not switched on; only running it tells."""
    command = [str(path), "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return False
    return said.returncode == 0 and said.stdout.strip() == version


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A PostgreSQL server of this run's own, on loopback, with a password."""

    process: subprocess.Popen[bytes]
    binaries: Path
    folder: Path
    port: int
    password: str

    def url(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement)

    def new_database(self, *, template: str = "template0") -> str:
        """The URL of an empty database, or of a copy."""
        name = f"t{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE {template}")
        return self.url(name)


# Ends with the tests, whatever ends them: another user's rights first, since taking them forgets whose death matters.
AS_CHILD = """
import ctypes, os, signal, sys
user, parent, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
if user:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
ctypes.CDLL(None).prctl(1, signal.SIGQUIT, 0, 0, 0)
if os.getppid() != parent:
    sys.exit(1)
os.execv(program[0], program)
"""
NOBODY = 65534


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A real PostgreSQL server."""
    with a_postgres() as server:
        yield server


@contextmanager
def a_postgres() -> Iterator[Postgres]:
    """A real PostgreSQL: from a package of the test environment, or Debian's. Run by root, it is another user's process."""
    binaries = postgres_binaries()
    if binaries is None:
        message = "there is no PostgreSQL: neither the package pgserver nor /usr/lib/postgresql"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    user = NOBODY if os.geteuid() == 0 else 0
    folder = Path(tempfile.mkdtemp(prefix="trivet-pg-"))
    process = None
    try:
        if user and not reachable(binaries):
            shutil.copytree(binaries.parent, folder / "pg", symlinks=True)
            binaries = folder / "pg" / "bin"
        data, secret, password = folder / "data", folder / "secret", uuid4().hex
        data.mkdir(mode=0o700)
        secret.write_text(password)
        if user:
            for path in (folder, data, secret):
                os.chown(path, user, user)

        def child(*program: str) -> list[str]:
            return [sys.executable, "-I", "-c", AS_CHILD, str(user), str(os.getpid()), *program]

        access = ["-U", "postgres", "--pwfile", f"{secret}", "-A", "scram-sha-256"]
        made = subprocess.run(
            child(f"{binaries}/initdb", "-D", f"{data}", "-E", "UTF8", "--locale=C", "--no-sync", *access),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=folder,
            env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "")},
        )
        assert made.returncode == 0, made.stdout + made.stderr
        port = free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "200",
            "shared_buffers": "16MB",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                child(f"{binaries}/postgres", "-D", f"{data}", "-p", str(port), *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={"LC_ALL": "C"},
            )
        server = Postgres(process=process, binaries=binaries, folder=folder, port=port, password=password)
        wait_for_postgres(server)
        yield server
    finally:
        if process is not None:
            # SIGTERM would wait until every client has gone.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(timeout=20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    """An empty database on a real PostgreSQL server."""
    return postgres_server.new_database()


def postgres_binaries() -> Path | None:
    spec = importlib.util.find_spec("pgserver")
    inside = [Path(folder) / "pginstall" / "bin" for folder in (spec.submodule_search_locations or [])] if spec else []
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in [*inside, *debian] if (folder / "initdb").is_file()), None)


def reachable(folder: Path) -> bool:
    """Whether every user may look into it."""
    return all(each.stat().st_mode & 0o005 == 0o005 for each in [folder, *folder.parents])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_postgres(server: Postgres) -> None:
    import psycopg

    deadline = time.monotonic() + 60
    while True:
        try:
            return server.execute("SELECT 1")
        except psycopg.OperationalError as error:
            if server.process.poll() is not None or time.monotonic() > deadline:
                log = (server.folder / "log").read_text(errors="replace")
                raise AssertionError(f"PostgreSQL does not start: {error}\n{log}") from error
            time.sleep(0.05)
