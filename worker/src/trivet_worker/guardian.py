"""Two small processes between the platform and a model. They leave no process behind, however the platform or the model ends.

A worker is three processes. The first one, the guardian, forks the second before any import, and then only waits; the second is a
guardian as well, whose only bond is a pipe to the first, and forks the third, which runs the model. Guardians have their own
interpreter locks, so they act even if model code never releases its lock. The first ends all processes below it when

- its standard input is closed, because the process that started it has ended. With a lifeline, another pipe, a byte on standard
  input changes this: the worker is then recorded, outlives the process that started it, and ends when the lifeline closes;
- the model's process ends: the processes that the model started end too;
- the memory of all of them is above the limit, which ends it with the exit code `OVER_MEMORY`;
- SIGTERM arrives. At SIGUSR1 it asks the model's process to end after its current call.

It removes the worker's private folder, unless the model's process ended by itself while the process that started the worker lives,
which then leaves a part of it to the next worker. It ends like the model's process, with the same exit code or signal.

A process that the model has detached becomes a child of the nearest guardian. If one guardian is killed, the other one ends all
that is left, and the kernel kills the model's process (`die_with_parent`).
"""

import contextlib
import faulthandler
import os
import select
import shutil
import signal
import time
from typing import List, NamedTuple, Optional

from trivet_worker.memory import MemoryWatch, children_of, remove_shared_memory
from trivet_worker.process import become_subreaper, die_with_parent

__all__ = ["OVER_MEMORY", "Guarded", "end_children", "fork_guarded"]

OVER_MEMORY = 113
"""The exit code of a worker that was ended because of its memory; without a limit, a model's own code."""

_KILL_WAIT_S = 5.0
_HANDLED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1)


class Guarded(NamedTuple):
    """What the model's process has of its guardians.

    Attributes:
        stop: a pipe on which a byte asks for the end. A signal would not do: it may arrive just before a blocking wait, which then
            does not notice it, and its handler would be inherited by the processes that a model forks.
        parent: the guardian above it.
    """

    stop: int
    parent: int


def fork_guarded(private_folder: str, lifeline: Optional[int] = None, memory_bytes: Optional[int] = None) -> Guarded:
    """Continue in a process below two guardians, of which this is the first, and never returns.

    Args:
        private_folder: removed at the end.
        lifeline: a pipe that closes when the platform ends; None for standard input.
        memory_bytes: limit on the memory of all processes together.
    """
    stop_read, stop_write = os.pipe()
    os.set_blocking(stop_write, False)
    if lifeline is not None:
        os.set_inheritable(lifeline, False)
    bond_read, bond_write = os.pipe()
    _fork(
        [0] if lifeline is None else [0, lifeline],
        closed=[bond_read],
        stop=stop_write,
        folder=private_folder,
        memory_bytes=memory_bytes,
    )
    # Only the first guardian holds these: the second one notices its end.
    for descriptor in (bond_write, stop_write, *([] if lifeline is None else [lifeline])):
        os.close(descriptor)
    # Whatever ends the group of the first guardian leaves the second one to end the rest.
    os.setsid()
    parent = _fork([bond_read], closed=[stop_read])
    os.close(bond_read)
    die_with_parent(parent)
    return Guarded(stop_read, parent)


def _fork(
    bonds: List[int],
    *,
    closed: List[int],
    stop: Optional[int] = None,
    folder: Optional[str] = None,
    memory_bytes: Optional[int] = None,
) -> int:
    """Continue in a child process, guarded by this one.

    Args:
        bonds: pipes whose end ends everything; see `_watch`.
        closed: descriptors that only the child needs.
        stop: receives a byte at SIGUSR1.
        folder: removed at the end.
        memory_bytes: see `fork_guarded`.

    Returns:
        The guardian's pid, in the child.
    """
    become_subreaper()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    for number in _HANDLED:
        signal.signal(number, _ignore)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    guardian = os.getpid()
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        for number in _HANDLED:
            signal.signal(number, signal.SIG_DFL)
        os.close(wake_read)
        os.close(wake_write)
        return guardian
    try:
        for descriptor in closed:
            os.close(descriptor)
        # Only the model's process holds the pipe for events; a guardian must not keep it open.
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        memory = MemoryWatch(memory_bytes, folder) if memory_bytes is not None and folder is not None else None
        status = _watch(child, wake_read, stop, bonds, memory)
        end_children()
        if folder is not None:
            remove_shared_memory(folder)
            if status is None or not _is_open(0):
                shutil.rmtree(folder, ignore_errors=True)
        _end_like(status)
    finally:
        os._exit(1)


def _ignore(signum: int, frame: object) -> None:
    """The wake-up pipe receives the signal."""


def _watch(
    child: int, wake: int, stop: Optional[int], bonds: List[int], memory: Optional[MemoryWatch]
) -> Optional[int]:
    """Wait for an end. Returns the child's exit status, or None if the child has to be ended.

    A byte on the first bond, if there are two, leaves only the second one.
    """
    while True:
        ready = select.select([*bonds, wake], [], [], None if memory is None else memory.wait_s())[0]
        excess = None if memory is None else memory.excess(child)
        if excess is not None:
            os.write(2, f"this worker ends: {excess}\n".encode())
            return OVER_MEMORY << 8
        for bond in set(bonds).intersection(ready):
            if not os.read(bond, 4096):
                return None
            bonds = bonds[-1:]
        if wake not in ready:
            continue
        signals = os.read(wake, 4096)
        if signal.SIGTERM in signals:
            return None
        if signal.SIGUSR1 in signals and stop is not None:
            with contextlib.suppress(OSError):  # it has ended, or has been asked often enough
                os.write(stop, b".")
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == child:
                return status
            if pid == 0:
                break


def _is_open(pipe: int) -> bool:
    """Whether the other end of a pipe is open."""
    while select.select([pipe], [], [], 0)[0]:
        if not os.read(pipe, 4096):
            return False
    return True


def end_children() -> None:
    """Kill children until there are none; grandchildren become children of a subreaper when their parents end."""
    deadline = time.monotonic() + _KILL_WAIT_S
    while time.monotonic() < deadline:
        for pid in children_of(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def _end_like(status: Optional[int]) -> None:
    if status is None:
        os._exit(0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
            with contextlib.suppress(ImportError, ValueError, OSError):
                import resource

                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.disable()  # the model's process has already written its report
        os.kill(os.getpid(), number)
        time.sleep(1)  # a signal to oneself may arrive a moment later
    os._exit(os.WEXITSTATUS(status))
