"""The folders that workers need: a private one each, and one with the worker's own code."""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trivet.disk.drafts import draft_folder, sweep_drafts
from trivet.errors import Internal

__all__ = ["PrivateFolder", "make_private_folder", "sweep_stale_folders", "worker_code"]

_PREFIX = "trivet-w-"
_MAX_SOCKET_PATH_BYTES = 100  # Linux allows 107
_YOUNG_S = 60.0


@dataclass(frozen=True, slots=True)
class PrivateFolder:
    """A worker's own folder: only this user may enter it; it is locked while this process needs it.

    Attributes:
        path: holds the socket, the model's working folder, and what is in the place of `/tmp` for it.
        lock: a descriptor; the kernel releases the lock when this process ends.
    """

    path: Path
    lock: int

    @property
    def socket(self) -> Path:
        """Where the worker listens."""
        return self.path / "s"

    @property
    def scratch(self) -> Path:
        """The model's working folder."""
        return self.path / "scratch"

    @property
    def tmp(self) -> Path:
        """What the model finds as `/tmp`."""
        return self.path / "tmp"

    def take_tmp(self, former: "PrivateFolder") -> None:
        """Go on with the `/tmp` of a worker that has ended, and remove the rest of its folder."""
        with suppress(OSError):  # it is removed, or the disk is full: then this worker starts with an empty one
            former.tmp.rename(self.tmp)
        former.remove()

    def remove(self) -> None:
        """Delete it with its content, and release the lock. A second call does nothing."""
        for _ in range(2):  # a process that is short of descriptors for a moment fails once
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def make_private_folder(parent: Path | None = None) -> PrivateFolder:
    """Make a folder for one worker below `parent` (the system's temporary folder if None).

    A Unix socket's path is short; where `parent` is too deep for one, `/tmp` serves.

    Raises:
        OSError: it cannot be made.
    """
    below = parent or Path(tempfile.gettempdir())
    if len(os.fsencode(below / f"{_PREFIX}12345678" / "s")) > _MAX_SOCKET_PATH_BYTES:
        below = Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder in it
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=below))
    try:
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        raise
    folder = PrivateFolder(path, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.scratch.mkdir(mode=0o700)
        folder.tmp.mkdir()
        folder.tmp.chmod(0o1777)  # as the machine's; the folder above keeps others out
    except OSError:
        folder.remove()
        raise
    return folder


def sweep_stale_folders(parent: Path | None = None) -> list[Path]:
    """Delete private folders that no live process holds, as after a crash of the machine.

    Returns:
        The folders that were deleted.
    """
    swept = []
    for path in (parent or Path(tempfile.gettempdir())).glob(f"{_PREFIX}*"):
        try:
            found = path.lstat()
            # A new folder may not have its lock yet.
            # A worker of root's may have a user id of its own.
            if os.getuid() not in {found.st_uid, 0} or path.is_symlink() or time.time() - found.st_mtime < _YOUNG_S:
                continue
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            shutil.rmtree(path, ignore_errors=True)
            swept.append(path)
        finally:
            os.close(lock)
    return swept


def worker_code(home: Path) -> Path:
    """The folder with the worker's own code and nothing else, copied there once for every version of it.

    A worker runs in the model's environment, so it cannot take Trivet's own packages folder on its path.

    Returns:
        A folder that holds `trivet_worker/` and `mac/`.
    """
    files = sorted(_code_files().items())
    digest = hashlib.sha256()
    for name, data in files:
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    target = home / "worker" / digest.hexdigest()[:16]
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_drafts(target.parent)
    with draft_folder(target.parent) as (made, _):
        for name, data in files:
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        try:
            made.rename(target)
        except OSError:
            if not target.is_dir():  # another process was faster
                raise
    return target


def _code_files() -> dict[str, bytes]:
    files = {}
    for package in ("trivet_worker", "mac"):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise Internal(f"the module {package!r} of the distribution trivet-worker is not installed")
        root = Path(spec.origin).parent
        for path in root.rglob("*.py"):
            files[str(Path(package) / path.relative_to(root))] = path.read_bytes()
    return files
