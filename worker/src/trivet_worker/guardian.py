"""The small process between the platform and a model. It leaves no process behind, however the platform or the model ends.

A worker is two processes. The first one, the guardian, forks the second before any import, and then only waits. The second
runs the model. The guardian has its own interpreter lock, so it acts even if model code never releases its lock. It ends all
processes below it when

- its standard input is closed, because the process that started it has ended. With a lifeline, another pipe, a byte on standard
  input changes this: the worker is then recorded, outlives the process that started it, and ends when the lifeline closes;
- the model's process ends: the processes that the model started end too;
- SIGTERM arrives. At SIGUSR1 it asks the model's process to end after its current call.

It removes the worker's private folder and ends like the model's process, with the same exit code or signal.
If the guardian itself is killed, the kernel kills the model's process (`die_with_parent`).
"""

# ruff: noqa: PTH123, PTH208 - pathlib would be one more import here

import contextlib
import faulthandler
import os
import select
import shutil
import signal
import time
from typing import List, Optional

from trivet_worker.process import become_subreaper, die_with_parent

__all__ = ["fork_guarded"]

_KILL_WAIT_S = 5.0


def fork_guarded(private_folder: str, lifeline: Optional[int] = None) -> int:
    """Continue in a child process, guarded by this one, which never returns.

    Args:
        private_folder: removed at the end.
        lifeline: a pipe that closes when the platform ends; None for standard input.

    Returns:
        A pipe on which a byte asks the child to end. A signal would not do: it may arrive just before a blocking wait, which then
        does not notice it, and its handler would be inherited by the processes that a model forks.
    """
    become_subreaper()
    if lifeline is not None:
        os.set_inheritable(lifeline, False)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, _ignore)
    signal.signal(signal.SIGTERM, _ignore)
    signal.signal(signal.SIGUSR1, _ignore)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    stop_read, stop_write = os.pipe()
    os.set_blocking(stop_write, False)
    guardian = os.getpid()
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        os.close(wake_read)
        os.close(wake_write)
        os.close(stop_write)
        if lifeline is not None:
            os.close(lifeline)
        die_with_parent(guardian)
        return stop_read
    try:
        # Only the model's process holds the pipe for events; the guardian must not keep it open.
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        status = _watch(child, wake_read, stop_write, lifeline)
        _end_all()
        shutil.rmtree(private_folder, ignore_errors=True)
        _end_like(status)
    finally:
        os._exit(1)


def _ignore(signum: int, frame: object) -> None:
    """The wake-up pipe receives the signal."""


def _watch(child: int, wake: int, stop: int, lifeline: Optional[int]) -> Optional[int]:
    """Wait for an end. Returns the child's exit status, or None if the child has to be ended."""
    bonds = [0] if lifeline is None else [0, lifeline]
    while True:
        ready = select.select([*bonds, wake], [], [])[0]
        for bond in set(bonds).intersection(ready):
            if not os.read(bond, 4096):
                return None
            if bond == 0 and lifeline is not None:
                bonds = [lifeline]
        if wake not in ready:
            continue
        signals = os.read(wake, 4096)
        if signal.SIGTERM in signals:
            return None
        if signal.SIGUSR1 in signals:
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


def _end_all() -> None:
    """Kill children until there are none; grandchildren become children when their parents end."""
    deadline = time.monotonic() + _KILL_WAIT_S
    while time.monotonic() < deadline:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def _children() -> List[int]:
    me = os.getpid()
    with contextlib.suppress(OSError), open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{entry}/stat", "rb") as stat:
                # The command's name, in brackets, may hold any character: the parent is the second field after it.
                if int(stat.read().rsplit(b")", 1)[1].split()[1]) == me:
                    found.append(int(entry))
    return found


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
