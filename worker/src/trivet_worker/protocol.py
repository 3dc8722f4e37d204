"""The input of a worker at its start, and its reports: one JSON line in, JSON lines out."""

import base64
import json
from typing import Any, Dict, NamedTuple, Optional, TextIO, Tuple

__all__ = ["PROTOCOL", "Config", "Entry", "Events", "OtherProtocol", "parse_config"]

PROTOCOL = 2
"""The version of the protocol between worker and platform. Version 2 has the path `raw`; version 1 did not send its number."""


class OtherProtocol(Exception):
    """The platform that started this worker has another version of the protocol."""


class Entry(NamedTuple):
    """A class or function in a file of the package (POSIX path inside it)."""

    file: str
    name: str


class Config(NamedTuple):
    """The configuration of a worker.

    Attributes:
        location: where to listen: `grpc+unix://…`, `grpc+tcp://…` or `grpc+tls://…`; the system replaces port 0 with a free one.
        token: required in each call.
        certificate: for `grpc+tls`, in PEM with its chain, and its `key`.
        folder: a private folder, removed at the end.
        package_root: the unpacked package.
        adapter: a key of `trivet_worker.adapters.ADAPTERS`.
        entry: the package's entry points by role.
        files: paths of files inside the package by role: `model` is the model's own.
        options: what else the adapter needs to know, as the platform found it.
        input_schema: an Arrow IPC schema message.
        output_schema: the same.
        scratch: the model's working folder, home and place for temporary files.
        memory_bytes: limit on the memory of the model's process and of all that it starts.
        open_files: limit on open files.
        lifeline: the descriptor of a pipe that closes with the platform; None for standard input.
        lock: a descriptor that stays open while the worker runs.
        sandbox: `on` if the system offers one, `required`, or `off`.
        network: whether the model may use internet sockets.
        readable: paths that the model may read besides its own.
        home: the platform's own folder, which it may not read as a part of any of these.
        tmp: the folder that takes the place of `/tmp` where the system allows that; empty for none.
    """

    location: str
    token: str
    folder: str
    package_root: str
    adapter: str
    entry: Dict[str, Entry]
    files: Dict[str, str]
    options: Dict[str, Any]
    input_schema: bytes
    output_schema: bytes
    scratch: str
    memory_bytes: Optional[int]
    open_files: Optional[int]
    lifeline: Optional[int] = None
    lock: Optional[int] = None
    certificate: Optional[str] = None
    key: Optional[str] = None
    sandbox: str = "on"
    network: bool = True
    readable: Tuple[str, ...] = ()
    home: str = ""
    tmp: str = ""


def parse_config(line: bytes) -> Config:
    """Read the first line of standard input.

    Raises:
        OtherProtocol: it comes from a platform of another release.
    """
    raw = json.loads(line.decode())
    spoken = raw.get("protocol", 1)
    if spoken != PROTOCOL:
        raise OtherProtocol(
            f"the platform speaks version {spoken} of the worker protocol, and the worker version {PROTOCOL}"
        )
    return Config(
        location=raw["location"],
        token=raw["token"],
        folder=raw["folder"],
        package_root=raw["package_root"],
        adapter=raw["adapter"],
        entry={role: Entry(file=place["file"], name=place["name"]) for role, place in raw["entry"].items()},
        files=dict(raw["files"]),
        input_schema=base64.b64decode(raw["input_schema"]),
        output_schema=base64.b64decode(raw["output_schema"]),
        scratch=raw["scratch"],
        memory_bytes=raw.get("memory_bytes"),
        open_files=raw.get("open_files"),
        lifeline=raw.get("lifeline"),
        lock=raw.get("lock"),
        certificate=raw.get("certificate"),
        key=raw.get("key"),
        options=raw.get("options") or {},
        sandbox=raw.get("sandbox", "on"),
        network=raw.get("network", True),
        readable=tuple(raw.get("readable", ())),
        home=raw.get("home", ""),
        tmp=raw.get("tmp", ""),
    )


class Events:
    """Reports the worker's progress to its parent."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def send(self, event: str, **fields: object) -> None:
        """Write one line. A missing parent is not an error: the guardian ends this process."""
        try:
            self._stream.write(json.dumps(dict(fields, event=event)) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            return
