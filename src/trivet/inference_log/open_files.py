"""Files that are written in turns, with a limit on open ones: the operating system gives a process few descriptors."""

import contextlib
from pathlib import Path
from typing import BinaryIO

__all__ = ["AppendedFile", "OpenFiles"]


class OpenFiles:
    """The descriptors of all files that are written in turns. Not safe to use from several threads.

    Args:
        most: the limit of open files; beyond it, the least recently written file is closed until its next turn.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # In order of their last turns.
        self._files: dict[AppendedFile, None] = {}

    def take_turn(self, file: "AppendedFile") -> None:
        """Count a file as open and as the last one written."""
        self._files.pop(file, None)
        while len(self._files) >= self._most:
            next(iter(self._files)).put_by()
        self._files[file] = None

    def give_up(self, file: "AppendedFile") -> None:
        """Count a file as closed."""
        self._files.pop(file, None)


class AppendedFile:
    """A new file that is only appended to. It may be closed between two turns; its writer does not notice.

    Args:
        path: the file; it must not exist.
        files: all files that are written in turns with it.

    Raises:
        OSError: it cannot be created.
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
        """Whether it is closed for good."""
        return self._ended

    @property
    def put_away(self) -> bool:
        """Whether it has no descriptor at present."""
        return self._file is None

    def write(self, data: bytes) -> int:
        """Append; the bytes are in the file after `flush`.

        Raises:
            OSError: it cannot be written or reopened.
        """
        if self._ended:
            raise ValueError(f"{self._path} is closed")
        self._files.take_turn(self)
        if self._file is None:
            try:
                # If the file was removed meanwhile, do not create one that lacks its beginning.
                self._file = self._path.open("r+b")
                self._file.seek(self._size)
            except BaseException:
                self._release()
                raise
        return self._file.write(data)

    def flush(self) -> None:
        """Write buffered bytes to the file."""
        if self._file is not None:
            self._file.flush()
            self._size = self._file.tell()

    def tell(self) -> int:
        """The number of bytes written."""
        return self._size if self._file is None else self._file.tell()

    def put_by(self) -> None:
        """Close the descriptor until the next write."""
        with contextlib.suppress(OSError):
            self.flush()
        self._release()

    def close(self) -> None:
        """Close for good."""
        self._ended = True
        self._release()

    def _release(self) -> None:
        self._files.give_up(self)
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
