"""Runs a program that ends with us, however we end.

uv starts processes of its own (build back ends), so killing uv alone would leave them behind. A small guard (`trivet.envs.guard`) leads
a process group of its own and waits for two things: the program's end, whose exit code it hands on, and the end of its standard input,
which means that we are gone. Then it ends all that the program has started.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from trivet.envs.confined import Restrictions
from trivet_worker import sandbox

__all__ = ["Finished", "run"]

_GUARD = Path(__file__).with_name("guard.py")
_CODE = str(Path(sandbox.__file__).parents[1])
_END_WAIT_S = 6.0
_TICK_S = 0.2
_MAX_OUTPUT_BYTES = 64 * 1024 * 1024
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The result of a program. `timed_out`: it reached its time limit and was killed."""

    code: int
    stdout: str
    stderr: str
    timed_out: bool = False


def run(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    folder: Path,
    limit_s: float,
    keep: Sequence[int] = (),
    on_tick: Callable[[Sequence[str]], None] | None = None,
    restrictions: Restrictions | None = None,
) -> Finished:
    """Runs a program to its end.

    Args:
        command: the program and its arguments; no shell is involved.
        environ: all of its environment variables.
        folder: its working folder.
        limit_s: seconds after which it is killed.
        keep: descriptors that stay open until the program's whole group is gone (a lock that outlives us).
        on_tick: called a few times a second with the new lines of stderr.
        restrictions: what it is kept to; None for nothing.

    Raises:
        OSError: it could not be started.
    """
    about = json.dumps({"code": _CODE, **(restrictions or Restrictions()).to_json()})
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_GUARD), about, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environ),
        cwd=folder,
        start_new_session=True,
        pass_fds=tuple(keep),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    timed_out = True
    try:
        timed_out, out, err = _read(process.stdout, process.stderr, limit_s=limit_s, on_tick=on_tick)
    finally:
        if not timed_out:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_END_WAIT_S)
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_END_WAIT_S)
        # The guard was not waited for yet, so its process id cannot belong to another process.
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdout, process.stderr):
            pipe.close()
    return Finished(
        code=process.returncode,
        stdout=out.decode(errors="replace"),
        stderr=err.decode(errors="replace"),
        timed_out=timed_out,
    )


def _read(
    stdout: IO[bytes], stderr: IO[bytes], *, limit_s: float, on_tick: Callable[[Sequence[str]], None] | None
) -> tuple[bool, bytes, bytes]:
    """Reads both pipes to their ends, or to the deadline; what is beyond the limit on size is dropped."""
    deadline = time.monotonic() + limit_s
    texts = {stdout.fileno(): bytearray(), stderr.fileno(): bytearray()}
    reported = 0
    next_tick = 0.0
    with selectors.DefaultSelector() as selector:
        for pipe in (stdout, stderr):
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            now = time.monotonic()
            if now > deadline:
                return True, bytes(texts[stdout.fileno()]), bytes(texts[stderr.fileno()])
            for key, _ in selector.select(_TICK_S):
                data = os.read(key.fd, _READ_BYTES)
                if not data:
                    selector.unregister(key.fileobj)
                elif len(texts[key.fd]) < _MAX_OUTPUT_BYTES:
                    texts[key.fd] += data
            if on_tick is not None and now >= next_tick:
                errors = texts[stderr.fileno()]
                end = errors.rfind(b"\n") + 1
                on_tick(errors[reported:end].decode(errors="replace").splitlines())
                reported = max(reported, end)
                next_tick = now + _TICK_S
    return False, bytes(texts[stdout.fileno()]), bytes(texts[stderr.fileno()])
