"""A folder of a worker's own in the place of `/tmp`, for models that write to paths there.

It is mounted in a mount namespace, which ends with the last process in it. What the worker reads below `/tmp` (its package, its
environment, the platform's home) is mounted again at the same place, read-only: Landlock gives a folder's rights to all that is
mounted below it. The mounts need CAP_SYS_ADMIN. Their system calls are as old as Landlock.
"""

# ruff: noqa: PTH100, PTH102, PTH110, PTH116, PTH118 - pathlib would be one more import

import contextlib
import os
import stat
import struct
from typing import Dict, Iterable, List, Tuple

from trivet_worker.kernel import syscall, unshare

__all__ = ["give_all", "mount_private_tmp"]

_TMP = "/tmp"  # noqa: S108 - no file is made in the machine's own
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same number on all architectures
_NEW_NAMESPACE = 0x20000
_HERE, _EMPTY_PATH, _RECURSIVE = -100, 0x1000, 0x8000
_CLONE_TREE = 1 | os.O_CLOEXEC | _RECURSIVE
_FROM_DESCRIPTOR, _TO_DESCRIPTOR = 0x04, 0x40
_READ_ONLY, _NO_SUID, _NO_DEVICES = 1, 2, 4
_SLAVE = 1 << 19
_MOST_NAMES = 16  # each takes a tenth of a millisecond


def mount_private_tmp(folder: str, *, read: Iterable[str], own: Iterable[str], hidden: str) -> bool:
    """Put a folder in the place of `/tmp`, for this process and all that it starts.

    The folder gets an empty folder for each one of the newest that the platform's user has in the machine's `/tmp`, since a
    deployment may make some for its models. The one that holds the hidden folder is left out.

    Args:
        folder: what to put there. What is made in it for models gets its owner.
        read: paths that stay where they are below `/tmp`, read-only.
        own: folders that stay, and that are written.
        hidden: a folder that no path of `read` may hold, if it is below `/tmp`.

    Returns:
        False, with `/tmp` as it was, if the system does not allow this or a path of `read` holds the hidden folder or `/tmp`.

    Raises:
        OSError: a mount failed after others succeeded.
    """
    read_here, own_here = _below_tmp(read), _below_tmp(own)
    secret = os.path.realpath(hidden) + "/" if hidden else ""
    if os.path.realpath(_TMP) != _TMP:
        return False
    if any(path == _TMP or secret.startswith(path + "/") for path in read_here):
        return False
    names = [name for name in _own_folders() if not secret.startswith(f"{_TMP}/{name}/")]
    owner = os.stat(folder).st_uid
    trees: List[Tuple[str, int]] = []
    try:
        unshare(_NEW_NAMESPACE)
        # What the host mounts and unmounts later counts here too, and nothing of this process's there.
        _set_mount(_HERE, b"/", _RECURSIVE, propagation=_SLAVE)
        whole = _tree(folder, _NO_SUID | _NO_DEVICES)
        # The last ones cover the first ones, where one lies in another.
        trees = [(path, _tree(path, _READ_ONLY | _NO_SUID | _NO_DEVICES)) for path in read_here]
        trees += [(path, _tree(path, _NO_SUID | _NO_DEVICES)) for path in own_here]
    except OSError:
        for _, tree in trees:
            os.close(tree)
        return False
    syscall(_MOVE_MOUNT, whole, b"", _HERE, _TMP.encode(), _FROM_DESCRIPTOR)
    os.close(whole)
    for name in names:
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.join(_TMP, name))
            os.chown(os.path.join(_TMP, name), owner, owner)
    for path, tree in trees:
        place = _place(path, folder=stat.S_ISDIR(os.fstat(tree).st_mode))
        syscall(_MOVE_MOUNT, tree, b"", place, b"", _FROM_DESCRIPTOR | _TO_DESCRIPTOR)
        os.close(place)
        os.close(tree)
    return True


def give_all(folder: str, uid: int) -> None:
    """Give a folder, with all in it that other users own, to a user. No link is followed, whatever changes meanwhile."""
    os.chown(folder, uid, uid, follow_symlinks=False)
    me = os.geteuid()
    for _, folders, names, descriptor in os.fwalk(folder):
        for name in (*folders, *names):
            with contextlib.suppress(FileNotFoundError):
                if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid != me:
                    os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)


def _below_tmp(paths: Iterable[str]) -> List[str]:
    """Those below `/tmp` that exist and are in no other one; `/tmp` itself if one holds it."""
    found: Dict[str, None] = {}
    for path in paths:
        for name in (os.path.abspath(path), os.path.realpath(path)):
            if name.startswith(_TMP + "/") and os.path.exists(name):
                found[name] = None
            elif (_TMP + "/").startswith(name.rstrip("/") + "/"):
                found[_TMP] = None
    return [path for path in found if not any(path.startswith(outer + "/") for outer in found)]


def _own_folders() -> List[str]:
    """Names of this user's folders that lie directly in `/tmp`, the newest ones if there are many."""
    found: List[Tuple[float, str]] = []
    with os.scandir(_TMP) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid():
                    found.append((about.st_mtime, entry.name))
    return [name for _, name in sorted(found)[max(0, len(found) - _MOST_NAMES) :]]


def _tree(path: str, attributes: int) -> int:
    """A copy of the mounts at a path, with these attributes."""
    tree = syscall(_OPEN_TREE, _HERE, os.fsencode(path), _CLONE_TREE)
    _set_mount(tree, b"", _RECURSIVE | _EMPTY_PATH, attributes=attributes)
    return tree


def _set_mount(at: int, path: bytes, flags: int, *, attributes: int = 0, propagation: int = 0) -> None:
    syscall(_MOUNT_SETATTR, at, path, flags, struct.pack("=QQQQ", attributes, 0, propagation, 0), 32)


def _place(path: str, *, folder: bool) -> int:
    """Open the place of a mount below `/tmp`, and make what is missing. A link that an earlier model left there is not followed."""
    *parents, last = os.path.relpath(path, _TMP).split("/")
    at = os.open(_TMP, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in (*parents, *([last] if folder else [])):
        inner = _opened_folder(at, name)
        os.close(at)
        at = inner
    if folder:
        return at
    _remove_other(at, last, stat.S_IFREG)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(last, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=at))
    file = os.open(last, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    os.close(at)
    return file


def _opened_folder(at: int, name: str) -> int:
    _remove_other(at, name, stat.S_IFDIR)
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=at)
    return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)


def _remove_other(at: int, name: str, kind: int) -> None:
    """Remove a file or a link that lies at the place of a mount."""
    with contextlib.suppress(FileNotFoundError):
        found = stat.S_IFMT(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
        if found not in {kind, stat.S_IFDIR}:
            os.unlink(name, dir_fd=at)
