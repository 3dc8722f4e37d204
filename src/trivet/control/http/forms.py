"""A multipart form, read as a stream: its fields in memory within a limit, its one file on disk."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from trivet.control.streaming import broken_off, pieces_of
from trivet.disk.errors import disk_error
from trivet.errors import Invalid, TooLarge

__all__ = ["Form", "receive_form"]

MOST_FIELDS = 64
MOST_FIELD_BYTES = 4 * 2**20
MOST_HEADER_BYTES = 8 * 2**10


@dataclass(slots=True)
class Form:
    """A form's fields as text, and its file.

    Attributes:
        path: of the file's bytes while the form is open.
        file_name: as the sender names it.
    """

    path: Path
    fields: dict[str, str] = field(default_factory=dict)
    file_name: str = ""


class _Reader:
    """Receives a parser's events."""

    def __init__(self, form: Form, file: BinaryIO, *, most_bytes: int) -> None:
        self._form = form
        self._file = file
        self._most_bytes = most_bytes
        self._size = 0
        self._header = [b"", b""]
        self._disposition: dict[bytes, bytes] = {}
        self._value = bytearray()
        self._files = 0
        self.is_complete = False

    def _finish(self) -> None:
        self.is_complete = True

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._head(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._head(1, data[start:end]),
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._header, self._disposition, self._value = [b"", b""], {}, bytearray()

    def _head(self, which: int, data: bytes) -> None:
        self._header[which] += data
        if len(self._header[which]) > MOST_HEADER_BYTES:
            raise TooLarge("a header of the form is too long", fix="send shorter names")

    def _header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = parse_options_header(value)[1]
            if self._is_file:
                self._files += 1
                if self._files > 1:
                    raise Invalid("the form has more than one part `file`", fix="send one model at a time")
                self._form.file_name = self._disposition.get(b"filename", b"").decode(errors="replace")
        self._header = [b"", b""]

    @property
    def _is_file(self) -> bool:
        return self._disposition.get(b"name") == b"file"

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._size += end - start
            if self._size > self._most_bytes:
                raise TooLarge(
                    "the file is too large",
                    why=f"the limit is {self._most_bytes // 2**20} MiB",
                    fix="raise TRIVET_MAX_UPLOAD_MIB on the platform",
                )
            self._file.write(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > MOST_FIELD_BYTES:
            raise TooLarge("a field of the form is too large", fix="send large content as the part `file`")

    def _end(self) -> None:
        if not self._is_file:
            if len(self._form.fields) >= MOST_FIELDS:
                raise TooLarge("the form has too many fields", fix=f"send at most {MOST_FIELDS}")
            name = self._disposition.get(b"name", b"").decode(errors="replace")
            self._form.fields[name] = self._value.decode(errors="replace")


@asynccontextmanager
async def receive_form(request: Request, folder: Path, *, most_bytes: int, stall_s: float) -> AsyncIterator[Form]:
    """Read a request's form; its file is there for the length of the block.

    Raises:
        Invalid: it is not a form, or has no part `file`.
        TooLarge: the file or a field is larger than its limit.
        DeadlineExceeded: no part of it arrived for `stall_s` seconds.
        Unavailable: it cannot be written to disk.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Invalid("the body is not a form", fix="send multipart/form-data with a part `file`")
    path = folder / f"{secrets.token_hex(16)}.form"
    form = Form(path)
    try:
        with path.open("xb") as file:
            reader = _Reader(form, file, most_bytes=most_bytes)
            try:
                parser = MultipartParser(options[b"boundary"], reader.callbacks())  # type: ignore[arg-type]
                async for piece in pieces_of(request, stall_s=stall_s):
                    parser.write(piece)
                parser.finalize()
            except FormParserError as error:
                raise Invalid("the form cannot be read", why=str(error), fix="send multipart/form-data") from error
            if not reader.is_complete:
                raise broken_off()
        if not form.file_name:
            raise Invalid("the form has no part `file`", fix="send the model's file as the part `file`")
        yield form
    except OSError as error:
        raise disk_error(error, folder=folder, reason="home_not_writable") from error
    finally:
        path.unlink(missing_ok=True)
