"""The memory of a model's process and of all processes that it started, shared memory included.

The limit that the kernel keeps for each process (`RLIMIT_DATA`) covers its private memory. Shared mappings, memfds, files in `/dev/shm`
and the sum over processes are measured here, by the guardian that watches the worker anyway.
"""

# ruff: noqa: PTH108, PTH116, PTH118, PTH123, PTH208 - pathlib would be one more import in the guardians

import contextlib
import os
import shutil
import stat
import struct
import time
from typing import Dict, Iterable, Iterator, List, Optional, Set, Tuple

__all__ = ["MemoryWatch", "children_of", "remove_shared_memory"]

_SHM = "/dev/shm"  # noqa: S108 - no file is made here
_MOST_PER_S = 2 * 2**30  # how fast a process fills memory
_PAUSES_S = (0.1, 1.0)
_SHARE_OF_TIME = 0.01  # of one core, at most
_CAPABILITY_VERSION = 0x20080522

_Object = Tuple[int, int]
"""A file in memory: its device and its number."""


class MemoryWatch:
    """Compares the memory of the processes below this one with a limit.

    Args:
        limit: in bytes.
        folder: the worker's private folder, which belongs to the user of the model's process. It may lie in memory.
    """

    def __init__(self, limit: int, folder: str) -> None:
        self.pause_s = _PAUSES_S[0]
        self._limit = limit
        self._folder = folder
        in_memory = _file_systems_in_memory()
        self._folders = [path for path in (_SHM, os.path.realpath(folder)) if _device(path) in in_memory]
        self._kernels = _device_of_memfds()
        self._due = time.monotonic() + self.pause_s

    def wait_s(self) -> float:
        """Seconds until the next measurement."""
        return max(0.0, self._due - time.monotonic())

    def excess(self, guardian: int) -> Optional[str]:
        """Measure, if that is due. The answer says what exceeds the limit; None if nothing does.

        Args:
            guardian: a process below this one that is not the model's.
        """
        started = time.monotonic()
        if started < self._due:
            return None
        used = 0
        with contextlib.suppress(OSError), _readable(os.stat(self._folder).st_uid):
            used = self._used([pid for pid in _descendants(os.getpid()) if pid != guardian])
        took = time.monotonic() - started
        shortest, longest = _PAUSES_S
        soon = min(longest, max(shortest, (self._limit - used) / _MOST_PER_S))
        self._due = time.monotonic() + max(soon, took / _SHARE_OF_TIME)
        if used <= self._limit:
            return None
        return (
            f"it used {_mebibytes(used)} of memory, with its shared memory and the processes that it started; "
            f"its limit is {_mebibytes(self._limit)}"
        )

    def _used(self, pids: List[int]) -> int:
        files = self._files(pids)
        used = sum(map(_resident, pids)) + sum(files.values())
        # Pages that processes share were counted once for each of them.
        return used if used <= self._limit else self._exactly(pids, files)

    def _files(self, pids: List[int]) -> Dict[_Object, int]:
        """Sizes of the files in memory that the processes have open, or that their own user has in shared folders."""
        found: Dict[_Object, int] = {}
        beginnings = ("/memfd:", *(folder + "/" for folder in self._folders))
        for pid in pids:
            for path in _open_files(pid):
                with contextlib.suppress(OSError):
                    # The link is read first: a file of a network that hangs must not be touched.
                    if os.readlink(path).startswith(beginnings):
                        _add(found, os.stat(path))
        user = os.stat(self._folder).st_uid
        for folder in self._folders:
            # Without a user of its own, the files in the shared folder may be of other processes.
            if folder != _SHM or user != os.getuid():
                for path in _owned_paths(folder, user):
                    with contextlib.suppress(OSError):
                        _add(found, os.lstat(path))
        if user != os.getuid():
            for number, size in _segments(user):
                found[(self._kernels, number)] = size
        return found

    def _exactly(self, pids: List[int], files: Dict[_Object, int]) -> int:
        """The memory in use, each page counted once. A process whose maps cannot be read counts only if it is the largest."""
        private, unreadable = 0, 0
        mapped: Dict[_Object, int] = {}
        for pid in pids:
            try:
                private += self._read_maps(pid, mapped)
            except (FileNotFoundError, ProcessLookupError):
                continue
            except OSError:
                unreadable = max(unreadable, _resident(pid))
        objects = {key: max(size, mapped.pop(key, 0)) for key, size in files.items()}
        return max(private + sum(mapped.values()), unreadable) + sum(objects.values())

    def _read_maps(self, pid: int, mapped: Dict[_Object, int]) -> int:
        """Private memory; shared memory is added to its object."""
        private = 0
        with open(f"/proc/{pid}/smaps", "rb") as file:
            for key, path, sizes in _mappings(file):
                size = sizes.get(b"Pss", 0)
                # A System V segment is in the same file system as a memfd, with its number as the file's.
                if key[0] == self._kernels or path.startswith(
                    tuple(folder.encode() + b"/" for folder in self._folders)
                ):
                    mapped[key] = mapped.get(key, 0) + size
                else:
                    private += size if key[1] == 0 else min(size, sizes.get(b"Anonymous", 0))
                private += sizes.get(b"SwapPss", 0) + sizes.get(b"Private_Hugetlb", 0) + sizes.get(b"Shared_Hugetlb", 0)
        return private


def children_of(parent: int) -> List[int]:
    """The processes that a process has started, or that it adopted."""
    try:
        found = []
        for thread in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{thread}/children", encoding="ascii") as file:
                found += [int(pid) for pid in file.read().split()]
        return found
    except OSError:
        return [pid for pid, its_parent in _parents() if its_parent == parent]


def remove_shared_memory(folder: str) -> None:
    """Remove what a user of a worker's own left in shared memory.

    Args:
        folder: belongs to that user; if it belongs to the platform's, nothing is removed.
    """
    with contextlib.suppress(OSError):
        user = os.stat(folder).st_uid
        if user == os.getuid():
            return
        for name in os.listdir(_SHM):
            path = os.path.join(_SHM, name)
            if os.lstat(path).st_uid == user:
                shutil.rmtree(path, ignore_errors=True)
                with contextlib.suppress(OSError):
                    os.unlink(path)
        segments = [number for number, _ in _segments(user)]
        if segments:
            import ctypes

            for number in segments:
                ctypes.CDLL(None).shmctl(ctypes.c_int(number), ctypes.c_int(0), None)


@contextlib.contextmanager
def _readable(user: int) -> Iterator[None]:
    """Take the user of the model's process for access to files: root of a container may not read another user's processes.

    The kernel asks for the same user, and for at least the process's own rights, which this change of user takes away.
    """
    if user == os.getuid():
        yield
        return
    import ctypes

    libc = ctypes.CDLL(None)
    libc.setfsgid(ctypes.c_uint(user))
    libc.setfsuid(ctypes.c_uint(user))
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    rights = ctypes.create_string_buffer(24)
    libc.capget(header, rights)
    _, low, inheritable, _, high, more = struct.unpack("=6I", rights.raw)
    libc.capset(header, struct.pack("=6I", low, low, inheritable, high, high, more))
    try:
        yield
    finally:
        libc.setfsuid(ctypes.c_uint(os.geteuid()))
        libc.setfsgid(ctypes.c_uint(os.getegid()))


def _descendants(parent: int) -> List[int]:
    found = children_of(parent)
    for pid in found:
        found += children_of(pid)
    return found


def _parents() -> Iterator[Tuple[int, int]]:
    """Every process, with its parent: for kernels that do not list children."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{entry}/stat", "rb") as file:
                # The command's name, in brackets, may hold any character: the parent is the second field after it.
                yield int(entry), int(file.read().rsplit(b")", 1)[1].split()[1])


def _resident(pid: int) -> int:
    """The memory of a process without the files that it maps. Shared pages count in full."""
    used = 0
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith((b"RssAnon:", b"RssShmem:", b"VmSwap:", b"HugetlbPages:")):
                used += int(line.split()[1]) * 1024
    return used


def _mappings(lines: "Iterable[bytes]") -> "Iterator[Tuple[_Object, bytes, Dict[bytes, int]]]":
    """The mappings in a file `smaps`: the file behind each (its number is 0 if there is none) and its path, and sizes in bytes."""
    found: Optional[Tuple[_Object, bytes, Dict[bytes, int]]] = None
    for line in lines:
        words = line.split()
        if not words[0].endswith(b":"):
            if found is not None:
                yield found
            major, _, minor = words[3].partition(b":")
            key = (os.makedev(int(major, 16), int(minor, 16)), int(words[4]))
            found = key, b" ".join(words[5:]), {}
        elif found is not None and words[-1] == b"kB":
            found[2][words[0][:-1]] = int(words[1]) * 1024
    if found is not None:
        yield found


def _open_files(pid: int) -> List[str]:
    try:
        return [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []


def _owned_paths(folder: str, user: int) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                if os.lstat(path).st_uid == user:
                    yield path


def _segments(user: int) -> Iterator[Tuple[int, int]]:
    """The System V segments that a user has made: their numbers and sizes."""
    with contextlib.suppress(OSError), open("/proc/sysvipc/shm", "rb") as file:
        names = file.readline().split()
        for line in file:
            about = dict(zip(names, map(int, line.split())))
            if about.get(b"cuid") == user:
                yield about[b"shmid"], about.get(b"rss", 0) + about.get(b"swap", 0)


def _file_systems_in_memory() -> Set[int]:
    found = set()
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            about, _, kind = line.partition(" - ")
            if kind.split()[0] in ("tmpfs", "ramfs"):
                major, _, minor = about.split()[2].partition(":")
                found.add(os.makedev(int(major), int(minor)))
    return found


def _device_of_memfds() -> int:
    """The kernel's own file system, of memfds, shared anonymous mappings and System V segments."""
    try:
        descriptor = os.memfd_create("trivet")
    except (OSError, AttributeError):  # Python may be built without it
        return os.makedev(0, 1)
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


def _device(path: str) -> Optional[int]:
    try:
        return os.stat(path).st_dev
    except OSError:
        return None


def _add(found: Dict[_Object, int], about: os.stat_result) -> None:
    if stat.S_ISREG(about.st_mode):
        found[(about.st_dev, about.st_ino)] = about.st_blocks * 512


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
