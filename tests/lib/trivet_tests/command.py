"""The `trivet` command: as a process of its own, or in this process, which is much quicker and says the same."""

import io
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

TRIVET = Path(sys.executable).with_name("trivet")

Ran = subprocess.CompletedProcess[str]


def run_process(
    *words: object, environ: Mapping[str, str], cwd: Path | None = None, stdin: str = "", within_s: float = 120.0
) -> Ran:
    """A command as a user runs it, to its end."""
    return subprocess.run(
        [TRIVET, *map(str, words)],
        env=dict(environ), cwd=cwd, input=stdin, capture_output=True, text=True, timeout=within_s, check=False,
    )  # fmt: skip


def run_here(*words: object, environ: Mapping[str, str], cwd: Path | None = None, stdin: str = "") -> Ran:
    """The same command in this process: the same entry point with the same arguments, environment and streams."""
    from trivet.cli.main import main

    arguments = ["trivet", *map(str, words)]
    out, err = io.BytesIO(), io.BytesIO()
    with _as_a_process_of_its_own(arguments, environ, cwd), _streams(stdin, out, err):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = _exit_code(end)
    return subprocess.CompletedProcess(arguments, code, _text(out), _text(err))


@contextmanager
def _as_a_process_of_its_own(arguments: list[str], environ: Mapping[str, str], cwd: Path | None) -> Iterator[None]:
    """What a command changes in its process is put back."""
    folder, root = Path.cwd(), logging.getLogger()
    kept = root.handlers[:], root.level, tempfile.tempdir
    umask = os.umask(0o022)
    os.umask(umask)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)}
    main = sys.modules["__main__"]
    with patch.dict(os.environ, dict(environ), clear=True), patch.object(sys, "argv", arguments):
        # The command's help names the script that was started, and that is not `python -m pytest`.
        sys.modules["__main__"] = ModuleType("__main__")
        # pytest's own handlers would keep `logging.basicConfig` from adding one.
        root.handlers[:] = []
        tempfile.tempdir = None
        os.chdir(cwd or folder)
        try:
            yield
        finally:
            sys.modules["__main__"] = main
            os.chdir(folder)
            root.handlers[:], root.level, tempfile.tempdir = kept
            os.umask(umask)
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextmanager
def _streams(stdin: str, out: io.BytesIO, err: io.BytesIO) -> Iterator[None]:
    texts = [io.TextIOWrapper(buffer, encoding="utf-8") for buffer in (io.BytesIO(stdin.encode()), out, err)]
    with patch.multiple(sys, stdin=texts[0], stdout=texts[1], stderr=texts[2]):
        try:
            yield
        finally:
            for text in texts:
                text.flush()
                text.detach()


def _exit_code(end: SystemExit) -> int:
    return end.code if isinstance(end.code, int) else int(end.code is not None)


def _text(buffer: io.BytesIO) -> str:
    return buffer.getvalue().decode().replace("\r\n", "\n")
