"""Restores the files and the environment of a loaded version if they are gone."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from trivet.blobs import Blobs
from trivet.disk.errors import disk
from trivet.disk.locks import LockBusyError, temporary_folder
from trivet.domain.digest import Digest
from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.domain.version import CONVERTED_FILE, LoadedModel, ModelVersion
from trivet.envs import restore
from trivet.errors import Internal, Unavailable
from trivet.loading.environments import Report, environment_store
from trivet.packaging import find_package, unpack_again
from trivet.settings import Settings
from trivet.workers.processes import Sandbox, WorkerFiles
from trivet.workers.spec import WorkerSpec

__all__ = ["environment_of", "native_root", "package_root", "sandbox_of", "scratch_folder", "worker_files"]


@contextmanager
def scratch_folder(home: Path) -> Iterator[Path]:
    """A private folder that is removed after the block; those of dead processes are removed too.

    Raises:
        Unavailable: the home is not writable.
    """
    tmp = home / "tmp"
    with ExitStack() as stack:
        try:
            with disk(tmp, reason="home_not_writable"):
                space = stack.enter_context(temporary_folder(tmp))
        except LockBusyError as error:
            raise Unavailable(
                f"No new folder can be made in {tmp}",
                why="another process has been removing old ones for a minute",
                fix="try again; the disk of the home may be very slow",
                reason="home_not_writable",
            ) from error
        yield space.path


def package_root(version: ModelVersion, *, blobs: Blobs, home: Path) -> Path:
    """The read-only folder with a version's unpacked files.

    A complete folder is not read. A missing one is restored from the uploaded file.

    Raises:
        NotFound, Internal: the uploaded file is gone or damaged.
        Unavailable: the blob store is unreachable, or the home is not writable.
    """
    return _unpacked(version.sha, blobs=blobs, home=home, file_name=version.file_name)


def native_root(version: ModelVersion, loaded: LoadedModel, *, blobs: Blobs, home: Path) -> Path:
    """The folder with the file that a native session opens: the package's, or that of the converted file.

    Raises:
        NotFound, Internal, Unavailable: as for `package_root`.
    """
    if loaded.converted is None:
        return package_root(version, blobs=blobs, home=home)
    return _unpacked(loaded.converted, blobs=blobs, home=home, file_name=CONVERTED_FILE)


def _unpacked(digest: Digest, *, blobs: Blobs, home: Path, file_name: str) -> Path:
    store = home / "packages"
    found = find_package(store, digest)
    if found is not None:
        return found
    with scratch_folder(home) as folder:
        file = folder / "package"
        blobs.fetch(digest, file)
        return unpack_again(file, store=store, file_name=file_name)


def environment_of(loaded: LoadedModel, settings: Settings, report: Report) -> Environment:
    """The environment that a version was loaded in.

    Where it is there, nothing is built and nothing fetched. Where it was pruned, or the home is another one, it is built
    again: see `restore`.

    Args:
        loaded: of a version that runs in workers.
        settings: the home, and how environments are built.
        report: called with what is going on.

    Raises:
        BadEnvironment: it cannot be built again.
        Unavailable: another process has been building it for hours.
    """
    if loaded.environment is None:
        raise Internal("a model that runs natively has no environment")
    store = environment_store(settings)
    found = store.find(loaded.environment)
    if found is not None:
        return found
    report("resolving", f"the environment {loaded.environment[:12]} was pruned; rebuilding it")
    return restore(
        store,
        loaded.environment,
        EnvironmentSpec(requirements=loaded.requirements, python=loaded.settings.python),
        releases=loaded.packages,
        python_version=loaded.python_version,
        offline=settings.offline,
        wheels=settings.wheels,
        report=report,
    )


def sandbox_of(settings: Settings) -> Sandbox:
    """What keeps workers to their own files, as the settings say."""
    return Sandbox(mode=settings.sandbox, readable=settings.worker_read, network=settings.worker_network == "full")


def worker_files(settings: Settings) -> Callable[[WorkerSpec], WorkerFiles]:
    """How a launcher on this machine finds what a spec names by digest: see `ProcessLauncher`."""

    def find(spec: WorkerSpec) -> WorkerFiles:
        package = find_package(settings.home / "packages", spec.package)
        environment = environment_store(settings).find(spec.environment)
        if package is None or environment is None:
            raise Unavailable(
                f"the files of {spec.name} were removed while its workers were being started",
                why=f"{'its package' if package is None else 'its environment'} is missing in {settings.home}",
                fix="deploy it again",
            )
        return WorkerFiles(python=environment.python, package=package)

    return find
