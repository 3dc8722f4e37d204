"""The bytes of a pickle, read forward, with its frames."""

from typing import IO

__all__ = ["Source", "Unreadable"]

MAX_LINE = 4096


class Unreadable(Exception):
    """The rest of a file cannot be followed, with the reason."""


class Source:
    """A stream of `size` bytes. A read beyond its end, or over the end of a frame, is an error.

    A loader reads a frame as a whole and ends it at its length. A reader that ignores frames sees other opcodes.
    """

    def __init__(self, file: IO[bytes], *, size: int) -> None:
        self._file = file
        self._size = size
        self._frame_end: int | None = None
        self.position = 0

    @property
    def at_end(self) -> bool:
        """Whether every byte was read."""
        return self.position == self._size

    def opcode(self) -> int:
        """The next opcode."""
        return self.read(1)[0]

    def read(self, count: int) -> bytes:
        """The next bytes of the pickle."""
        self._advance(count)
        data = self._file.read(count)
        if len(data) != count:
            raise Unreadable("the file is cut off")
        return data

    def number(self, width: int, *, signed: bool = False) -> int:
        """The next bytes as a little-endian number."""
        return int.from_bytes(self.read(width), "little", signed=signed)

    def skip(self, count: int) -> None:
        """Move over bytes of the pickle."""
        self._advance(count)
        self._file.seek(count, 1)

    def line(self) -> str:
        """The next line of the pickle, without its end.

        A loader decodes names as UTF-8 and changes no escapes.
        """
        try:
            return self.line_bytes().decode()
        except UnicodeDecodeError:
            raise Unreadable("a line is not UTF-8 text") from None

    def line_bytes(self) -> bytes:
        """The bytes of the next line."""
        data = self._file.readline(MAX_LINE)
        self._advance(len(data))
        if not data.endswith(b"\n"):
            raise Unreadable("a line is cut off or too long")
        return data[:-1]

    def begin_frame(self, length: int) -> None:
        """Enter a frame of that many bytes."""
        if self._frame_end not in {None, self.position}:
            raise Unreadable("a frame begins inside a frame")
        if length > self._size - self.position:
            raise Unreadable("a frame is longer than the file")
        self._frame_end = self.position + length

    def leave_frame(self) -> None:
        """Check that the frame ends here: what follows is not part of it."""
        if self._frame_end not in {None, self.position}:
            raise Unreadable("a frame goes on behind the end of what it holds")
        self._frame_end = None

    def _advance(self, count: int) -> None:
        after = self.position + count
        if after > self._size:
            raise Unreadable("the file is cut off")
        if self._frame_end == self.position and count:
            self._frame_end = None
        if self._frame_end is not None and after > self._frame_end:
            raise Unreadable("a value crosses the end of its frame")
        self.position = after
