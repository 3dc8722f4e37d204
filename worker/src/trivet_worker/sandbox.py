"""Restricts the process that runs a model to its own files, before any code of the model's environment runs.

Landlock decides which files can be opened: the package, the environment, the interpreter and the system's libraries for reading,
the scratch folder for writing. Newer kernels also keep signals and abstract sockets inside. Landlock does not cover file modes,
priorities and limits of other processes; if the platform runs as root, each worker has a user id of its own, which does, and a
`/tmp` of its own.

A kernel without Landlock (before 5.13, or with it disabled) leaves the process as its user; `enter` reports what holds.
"""

# ruff: noqa: PTH110, PTH112, PTH114, PTH116, PTH118, PTH208 - pathlib would be one more import

import contextlib
import ctypes
import os
import stat
import struct
import sys
from typing import Iterable, List, NamedTuple, Set, Tuple

from trivet_worker.kernel import libc, prctl, syscall, zeros
from trivet_worker.private_tmp import give_all, mount_private_tmp
from trivet_worker.seccomp import filter_calls

__all__ = ["Grants", "allow_programs", "enter", "give", "landlock_abi", "restrict"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same number on all architectures
_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 8, 24, 38, 47
_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, _KEEP_CAPS = 28, 1 << 2, 1 << 4
_AMBIENT_RAISE = 2
_CAPABILITY_VERSION = 0x20080522

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
_MAKE_SOCKET, _REFER, _TRUNCATE, _IOCTL = 1 << 9, 1 << 13, 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_DEVICE = _READ_FILE | _READ_DIR | _WRITE_FILE | _IOCTL
_ONLY_FOLDERS = ~(_EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL)
# Rights of files in each version of Landlock's interface: bits that the kernel does not know are an error.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}

_CAP_DAC_READ_SEARCH = 2
_FIRST_UID = 1_950_000_000  # no user of a machine or a container has a number that high
_LOGS_GID = _FIRST_UID  # of all workers, and no process has the id 0

_LOG = "/proc/self/fd/2"

_SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/nix/store", "/gnu/store"),
    *("/opt/" + name for name in ("rocm", "intel", "nvidia", "cuda")),
    *("/proc", "/sys/devices", "/sys/class", "/sys/bus", "/sys/module", "/sys/fs/cgroup", "/sys/kernel/mm"),
    *("/run/systemd/resolve", "/run/NetworkManager/resolv.conf", "/run/resolvconf", "/var/lib/ca-certificates"),
)
_ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "alternatives", "os-release", "lsb-release"),
    *("ssl", "pki", "ca-certificates", "crypto-policies", "gnutls"),
    *("resolv.conf", "hosts", "hostname", "host.conf", "nsswitch.conf", "gai.conf", "services", "protocols"),
    *("passwd", "group", "localtime", "timezone", "locale.alias", "locale.conf", "default/locale"),
    *("mime.types", "magic", "fonts", "matplotlibrc", "OpenCL", "vulkan", "nvidia", "java", "python3"),
    "python{}.{}".format(*sys.version_info),
)
_DEVICES = ("null", "zero", "full", "random", "urandom", "dri", "kfd", "dxg", "nvidia-caps", "accel", "infiniband")
_DEVICE_NAMES = ("nvidia", "accel", "davinci", "hl")


class Grants(NamedTuple):
    """What a worker may use besides the system's libraries.

    Attributes:
        read: folders and files to read, and programs in them to run.
        scratch: the folder to write.
        folder: where a socket may be created.
        hidden: a folder that is not read as a part of another one.
        network: whether it may use internet sockets.
        tmp: a folder to write, which takes the place of `/tmp` where the system allows that; empty for none.
    """

    read: Tuple[str, ...]
    hidden: str
    scratch: str
    folder: str
    network: bool
    tmp: str = ""


def landlock_abi() -> int:
    """The version of this kernel's Landlock; 0 without it."""
    try:
        return max(0, syscall(_CREATE_RULESET, None, 0, 1))
    except (OSError, AttributeError):
        return 0


def restrict(mode: str, grants: Grants) -> List[str]:
    """Restrict this process and all that it starts as the setting `TRIVET_SANDBOX` says, for good.

    Args:
        mode: `on` where the kernel has it, `required`, or `off`, which keeps to the grant of the network alone.
        grants: what it may use.

    Returns:
        What holds, as `enter` says.

    Raises:
        OSError: as `enter`; or Landlock is required, and this kernel has none.
    """
    if mode == "off":
        return [] if grants.network else _refuse_network()
    held = enter(grants)
    if mode == "required" and not any(each.startswith("landlock") for each in held):
        raise OSError("this kernel has no Landlock")
    return held


def enter(grants: Grants) -> List[str]:
    """Restrict this process and all that it starts, for good.

    Returns:
        What holds: `landlock` with its version, `own user`, `own /tmp`, `seccomp`, `no network`.

    Raises:
        OSError: the kernel refused a step that it offers, or it cannot keep the model from the network.
    """
    if not sys.platform.startswith("linux"):
        return [] if grants.network else _refuse_network()
    abi = landlock_abi()
    held = []
    own_tmp = bool(abi and grants.tmp) and _own_tmp(grants)
    rules = _ruleset(grants, abi=abi, own_tmp=own_tmp) if abi else None
    _bound(set(range(64)) - {_CAP_DAC_READ_SEARCH})
    # Another user could not open the package, unless it has a right that only Landlock limits.
    if rules is not None and os.geteuid() == 0 and _become(_own_uid(), grants):
        held.append("own user")
    else:
        _bound({_CAP_DAC_READ_SEARCH})
        _keep_capabilities(0)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if rules is not None:
        syscall(_RESTRICT_SELF, rules, 0)
        os.close(rules)
        held += [f"landlock {abi}", *(["own /tmp"] if own_tmp else [])]
    if not grants.network:
        return [*held, *_refuse_network()]
    return [*held, "seccomp"] if filter_calls(network=True) else held


def _refuse_network() -> List[str]:
    """Keep this process and all that it starts from the network, for good.

    Returns:
        What holds.

    Raises:
        OSError: this system cannot do that.
    """
    if sys.platform.startswith("linux"):
        prctl(_PR_SET_NO_NEW_PRIVS, 1)
        if filter_calls(network=False):
            return ["seccomp", "no network"]
    raise OSError("this system has no filters of system calls, which keep a model from the network")


def allow_programs(paths: Iterable[str]) -> None:
    """Keep this process and all that it starts from starting any programs but these. Nothing else is restricted.

    Raises:
        OSError: this kernel's Landlock is older than version 2.
    """
    # Every rule set forbids to move files between folders, unless it says otherwise.
    rules = syscall(_CREATE_RULESET, struct.pack("=Q", _EXECUTE | _REFER), 8, 0)
    _allow(rules, "/", _REFER)
    for path in paths:
        _allow(rules, path, _EXECUTE)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    syscall(_RESTRICT_SELF, rules, 0)
    os.close(rules)


def give(folder: str) -> None:
    """Give a folder, with all that is in it, to the user that `enter` changes to; only root has to, and can."""
    if os.geteuid() != 0:
        return
    uid = _own_uid()
    for parent, folders, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in ("", *folders, *names)):
            with contextlib.suppress(OSError):
                os.lchown(path, uid, uid)


def _own_uid() -> int:
    return _FIRST_UID + os.getpid()


def _own_tmp(grants: Grants) -> bool:
    if os.geteuid() == 0:
        give_all(grants.tmp, _own_uid())
    return mount_private_tmp(grants.tmp, read=grants.read, own=(grants.folder, grants.scratch), hidden=grants.hidden)


def _ruleset(grants: Grants, *, abi: int, own_tmp: bool) -> int:
    files = _FILE_RIGHTS[min(abi, 5)]
    # Network rights are left out of the rules: they cover TCP alone, and the filter of system calls covers all.
    attributes = struct.pack("=QQQ", files, 0, 0b11 if abi >= 6 else 0)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    rules = syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    hidden = os.path.realpath(grants.hidden) if grants.hidden else ""
    for path in (*_SYSTEM, *("/etc/" + name for name in _ETC), *grants.read):
        for part in _without(os.path.realpath(path), hidden):
            _allow(rules, part, _READ & files)
    for path in _devices():
        _allow(rules, path, _DEVICE & files)
    # POSIX semaphores and shared memory, which multiprocessing needs. A user id of its own keeps others out.
    _allow(rules, "/dev/shm", files & ~_EXECUTE)  # noqa: S108 - no file is made here
    _allow(rules, grants.folder, _MAKE_SOCKET)
    _allow(rules, grants.scratch, files)
    if own_tmp:
        _allow(rules, "/tmp", files)  # noqa: S108 - its own
    _allow(rules, _LOG, (_WRITE_FILE | _TRUNCATE) & files)
    return rules


def _without(path: str, hidden: str) -> Iterable[str]:
    """The path; or all that is in it besides a hidden folder, if it holds that folder."""
    if not hidden.startswith(path.rstrip("/") + "/") or not os.path.isdir(path):
        yield path
        return
    for name in os.listdir(path):
        inner = os.path.join(path, name)
        # A rule would be for what a link leads to, such as the hidden folder.
        if inner != hidden and not os.path.islink(inner):
            yield from _without(inner, hidden)


def _devices() -> Iterable[str]:
    yield from ("/dev/" + name for name in _DEVICES)
    for name in os.listdir("/dev"):
        if name.startswith(_DEVICE_NAMES):
            yield "/dev/" + name


def _allow(rules: int, path: str, rights: int) -> None:
    """Add a rule; a path that is missing or names a pipe needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= ~_ONLY_FOLDERS
        syscall(_ADD_RULE, rules, 1, struct.pack("=Qi", rights, descriptor), 0)
    except OSError:
        if path != _LOG:
            raise
    finally:
        os.close(descriptor)


def _become(uid: int, grants: Grants) -> bool:
    """Change to a user id without rights. It may read what root may, within Landlock's rules. Returns False if that is refused."""
    own = [grants.folder, grants.scratch]
    try:
        for path in own:
            os.chown(path, uid, uid)
        # Programs open /dev/stderr. Workers of one model share its log: the group may write, and Landlock names the file.
        os.fchown(2, -1, _LOGS_GID)
        os.fchmod(2, stat.S_IMODE(os.fstat(2).st_mode) | stat.S_IWGRP)
        prctl(_PR_SET_KEEPCAPS, 1)
        # Otherwise the kernel answers `access` without the right to search folders: compilers find no place for temporary files.
        with contextlib.suppress(OSError):
            prctl(_PR_SET_SECUREBITS, _KEEP_CAPS | _NO_SETUID_FIXUP)
        devices = {os.stat(path).st_gid for path in _devices() if os.path.exists(path)} - {0}
        os.setgroups(sorted(devices | {_LOGS_GID}))
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    except OSError:
        if os.geteuid() == uid:
            raise
        for path in own:
            os.chown(path, os.geteuid(), os.getegid())
        if grants.tmp:
            give_all(grants.tmp, os.geteuid())
        return False
    _keep_capabilities(1 << _CAP_DAC_READ_SEARCH)
    prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, _CAP_DAC_READ_SEARCH)
    # A change of user makes a process undumpable: it could not read the /proc files of its children.
    prctl(_PR_SET_DUMPABLE, 1)
    for name in ("USER", "LOGNAME"):  # libraries look up the user's name, and this one has none
        os.environ.setdefault(name, "model")
    return True


def _bound(capabilities: Set[int]) -> None:
    """Take rights away from programs that this process starts. A process that may not do so has none to take away."""
    for capability in capabilities:
        libc().prctl(ctypes.c_int(_PR_CAPBSET_DROP), ctypes.c_ulong(capability), *zeros(3))


def _keep_capabilities(kept: int) -> None:
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    libc().capset(header, struct.pack("=6I", kept, kept, kept, 0, 0, 0))
