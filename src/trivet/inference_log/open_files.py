"""Files that are written by turns, of which only so many are open at once: an operating system gives a process few descriptors."""

import contextlib
from pathlib import Path
from typing import BinaryIO

__all__ = ["AppendedFile", "OpenFiles"]


class OpenFiles:
    """The descriptors of all files that are written by turns. Not safe to use from several threads.

    Args:
        most: so many files are open at once; for one more the least recently written is closed until its next turn.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # In the order of their last turns.
        self._files: dict[AppendedFile, None] = {}

    def take_turn(self, file: "AppendedFile") -> None:
        """A file is open, or is about to be."""
        self._files.pop(file, None)
        while len(self._files) >= self._most:
            next(iter(self._files)).put_by()
        self._files[file] = None

    def give_up(self, file: "AppendedFile") -> None:
        """A file is closed."""
        self._files.pop(file, None)


class AppendedFile:
    """A new file that is only ever appended to. It may be closed between two turns, which nobody notices who writes to it.

    Args:
        path: the file; it must not be there.
        files: all that are written by turns with it.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path, files: OpenFiles) -> None:
        self._path = path
        self._files = files
        self._size = 0
        self._ended = False
        files.take_turn(self)
        try:
            self._file: BinaryIO | None = path.open("xb")
        except BaseException:
            files.give_up(self)
            raise

    @property
    def closed(self) -> bool:
        """Whether it takes no more."""
        return self._ended

    @property
    def put_away(self) -> bool:
        """Whether it has no descriptor at present."""
        return self._file is None

    def write(self, data: bytes) -> int:
        """Append; all of it is in the file after `flush`.

        Raises:
            OSError: it cannot be written, or opened again.
        """
        if self._ended:
            raise ValueError(f"{self._path} is closed")
        self._files.take_turn(self)
        if self._file is None:
            try:
                # Whoever took the file away meanwhile does not get one without a beginning.
                self._file = self._path.open("r+b")
                self._file.seek(self._size)
            except BaseException:
                self._release()
                raise
        return self._file.write(data)

    def flush(self) -> None:
        """Have everything that was written in the file."""
        if self._file is not None:
            self._file.flush()
            self._size = self._file.tell()

    def tell(self) -> int:
        """How many bytes were written."""
        return self._size if self._file is None else self._file.tell()

    def put_by(self) -> None:
        """Let go of the descriptor until something more is written."""
        with contextlib.suppress(OSError):
            self.flush()
        self._release()

    def close(self) -> None:
        """Take no more."""
        self._ended = True
        self._release()

    def _release(self) -> None:
        self._files.give_up(self)
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
