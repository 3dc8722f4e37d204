"""Use case: uploading a model version. It is announced and checked first; its bytes follow."""

import contextlib
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from trivet.control.context import Control
from trivet.control.request_bodies import NewUpload
from trivet.control.use_cases.models import forget_bytes
from trivet.control.use_cases.schemas import read_rows, read_schema
from trivet.disk.errors import disk_error
from trivet.disk.replace import replace_file
from trivet.domain.access import Action, Caller, check
from trivet.domain.digest import Digest
from trivet.domain.encoding import decode, encode
from trivet.domain.frameworks import FRAMEWORKS, Framework
from trivet.domain.names import check_name
from trivet.domain.package import ModelSettings
from trivet.domain.version import Acceleration, Architecture, ModelVersion, Workspace
from trivet.errors import BadPackage, Conflict, Invalid, NotFound, TooLarge, TrivetError, Unavailable

__all__ = [
    "Upload",
    "announce_upload",
    "clear_uploads",
    "receive_file",
    "receive_upload",
]

KEPT_S = 24 * 3600.0
UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
WORKSPACE_ID = re.compile(r"[0-9]{1,18}")
ZIP_START = (b"PK\x03\x04", b"PK\x05\x06")
ZIP_END = b"PK\x05\x06"
TAIL = 66 * 1024
MIB = 2**20


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An announced upload: everything but its bytes."""

    id: str
    name: str
    file_name: str
    framework: Framework
    workspace_id: int
    size: int | None
    sha256: str | None
    arch: Architecture
    accel: Acceleration
    visibility: Literal["private", "public"]
    settings: ModelSettings

    @property
    def version_uuid(self) -> str:
        """The UUID of the version to come. A client that lost the answer to its upload finds the version by it."""
        return _version_uuid(self.id)


def announce_upload(control: Control, caller: Caller, body: NewUpload) -> Upload:
    """Check the description of a file, before its bytes travel.

    Raises:
        Invalid: a name, a schema, a file name or a size is invalid.
        NotFound: there is no such workspace.
    """
    check(caller, Action.UPLOAD_MODEL, body.workspace)
    return _announce(control, body, body.workspace)


def _announce(control: Control, body: NewUpload, workspace: str | int) -> Upload:
    check_name(body.name)
    _check_file_name(body.file_name)
    workspace_id = control.catalog.workspaces.get(workspace).id
    if body.size is not None:
        _check_size(control, body.size)
    input_schema, allow_nulls = read_rows(body.input_schema, framework=body.framework, allow_nulls=body.allow_nulls)
    settings = ModelSettings(
        framework=body.framework,
        input_schema=input_schema,
        output_schema=read_schema(body.output_schema, which="output"),
        suggested_schema=read_schema(body.suggested_schema, which="input"),
        example=tuple(body.example or ()),
        tensor_fields=None if body.tensor_fields is None else tuple(body.tensor_fields),
        batch_config=body.batch_config,
        network=body.network,
        python=body.python,
        allow_nulls=allow_nulls,
        trust=body.trust or None,
    )
    upload = Upload(
        id=uuid.uuid4().hex,
        name=body.name,
        file_name=body.file_name,
        framework=body.framework,
        workspace_id=workspace_id,
        size=body.size,
        sha256=body.sha256,
        arch=body.arch or control.machine.arch or Architecture.X86,
        accel=body.accel,
        visibility=body.visibility,
        settings=settings,
    )
    _forget_old(control)
    try:
        replace_file(_file(control, upload.id), encode(upload), durable=False)
    except OSError as error:
        raise disk_error(error, folder=control.uploads, reason="home_not_writable") from error
    return upload


def receive_upload(
    control: Control, caller: Caller, upload_id: str, chunks: Iterable[bytes]
) -> tuple[ModelVersion, Workspace]:
    """Receive a file's bytes. When this returns, the version is stored. The same bytes sent again give the same version.

    Returns:
        The version, and its workspace.

    Raises:
        NotFound: the upload was not announced, or not in the last 24 hours.
        TooLarge: the file is larger than the limit.
        BadPackage: it is not a zip where one is needed.
        Invalid: the bytes are not the announced ones.
        Conflict: the upload was finished with other bytes.
    """
    check(caller, Action.UPLOAD_MODEL)
    made = _made(control, upload_id)
    if made is not None:
        check(caller, Action.UPLOAD_MODEL, made.workspace_id)
        workspace = control.catalog.workspaces.get(made.workspace_id)
        return _same(made, _digest_of(control, chunks)), workspace
    upload = _announced(control, upload_id)
    check(caller, Action.UPLOAD_MODEL, upload.workspace_id)
    # Looked up first: once the version is stored, nothing that can fail is left to do.
    workspace = control.catalog.workspaces.get(upload.workspace_id)
    return _receive(control, caller, upload, chunks), workspace


def receive_file(control: Control, caller: Caller, body: NewUpload, path: Path) -> ModelVersion:
    """Announce and receive an upload whose bytes are in a file already. If that fails, nothing of it is kept.

    Args:
        control: the parts.
        caller: who uploads.
        body: the description of the file. `workspace` is a name, or a number in ASCII digits.
        path: of the bytes.

    Raises:
        TrivetError: as `announce_upload` and `receive_upload` do.
    """
    check(caller, Action.UPLOAD_MODEL, body.workspace)
    workspace = int(body.workspace) if WORKSPACE_ID.fullmatch(body.workspace) else body.workspace
    upload = _announce(control, body, workspace)
    try:
        with path.open("rb") as file:
            return _receive(control, caller, upload, iter(lambda: file.read(MIB), b""))
    except BaseException:
        # The client does not know the upload's id, so it cannot send the bytes again.
        with contextlib.suppress(OSError):
            _file(control, upload.id).unlink(missing_ok=True)
        raise


def _receive(control: Control, caller: Caller, upload: Upload, chunks: Iterable[bytes]) -> ModelVersion:
    expected = None if upload.sha256 is None else Digest(upload.sha256)
    digest, size = control.blobs.put(_checked(control, upload, chunks), digest=expected)
    with control.settling():
        try:
            version = _store(control, caller, upload, digest, size)
        except TrivetError:
            forget_bytes(control, [digest])
            raise
    control.wake_supervisor()
    control.add_event(
        workspace_id=version.workspace_id,
        subject="model_version",
        subject_id=version.uuid,
        kind="uploaded",
        text=f"{version.name} version {version.number}, {version.size} bytes",
    )
    return version


def _announced(control: Control, upload_id: str) -> Upload:
    path = _file(control, upload_id)
    try:
        if time.time() - path.stat().st_mtime < KEPT_S:
            return decode(path.read_bytes(), Upload)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise disk_error(error, folder=control.uploads, reason="home_not_writable") from error
    raise NotFound(
        "upload not found", why="it was finished, or not announced in the last 24 hours", fix="announce it again"
    )


def _version_uuid(upload_id: str) -> str:
    return str(uuid.UUID(upload_id))


def _made(control: Control, upload_id: str) -> ModelVersion | None:
    """The version that an upload became; None if it did not yet."""
    if UPLOAD_ID.fullmatch(upload_id):
        with contextlib.suppress(NotFound):
            return control.catalog.models.version(_version_uuid(upload_id))
    return None


def _same(version: ModelVersion, digest: Digest) -> ModelVersion:
    if version.sha != digest:
        raise Conflict(
            "this upload was finished with other bytes",
            why=f"{version.name} version {version.number} is the result",
            fix="announce another upload",
            reason="upload_finished",
        )
    return version


def _digest_of(control: Control, chunks: Iterable[bytes]) -> Digest:
    hashed, size = hashlib.sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        _check_size(control, size)
        hashed.update(chunk)
    return Digest(hashed.hexdigest())


def _store(control: Control, caller: Caller, upload: Upload, digest: Digest, size: int) -> ModelVersion:
    path = _file(control, upload.id)
    made = _made(control, upload.id)
    if made is not None:
        return _same(made, digest)
    if not control.blobs.has(digest):
        raise Unavailable(
            "the bytes were deleted during the upload",
            why="a model with the same bytes was deleted",
            fix="send them again",
        )
    version = control.catalog.models.add_version(
        workspace_id=upload.workspace_id,
        name=upload.name,
        file_name=upload.file_name,
        sha=digest,
        size=size,
        framework=upload.framework,
        settings=upload.settings,
        arch=upload.arch,
        accel=upload.accel,
        visibility=upload.visibility,
        created_by=caller.name,
        new_uuid=upload.version_uuid,
    )
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    return version


def clear_uploads(control: Control) -> None:
    """Remove what an earlier process left behind: forms of requests that ended with it, and old announcements."""
    for path in (*control.uploads.glob("*.form"), *control.uploads.glob("*.new")):
        path.unlink(missing_ok=True)
    _forget_old(control)


def _forget_old(control: Control) -> None:
    oldest = time.time() - KEPT_S
    with contextlib.suppress(OSError), os.scandir(control.uploads) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and entry.stat().st_mtime < oldest:
                Path(entry.path).unlink(missing_ok=True)


def _file(control: Control, upload_id: str) -> Path:
    if not UPLOAD_ID.fullmatch(upload_id):
        raise NotFound("upload not found", fix="use the id that the announcement gave")
    return control.uploads / f"{upload_id}.json"


def _check_file_name(name: str) -> None:
    if name in {"", ".", ".."} or re.search(r"[/\\\x00-\x1f\x7f]", name) or len(name.encode(errors="replace")) > 255:
        raise Invalid(
            f"{name[:80]!r} is not a file name", fix="give the name alone, as in fraud.onnx", path="file_name"
        )


def _check_size(control: Control, size: int) -> None:
    if size > control.settings.max_upload_mib * MIB:
        raise TooLarge(
            f"the file has {size / MIB:.0f} MiB",
            why=f"the limit is {control.settings.max_upload_mib:g} MiB",
            fix="raise TRIVET_MAX_UPLOAD_MIB on the platform",
        )


def _checked(control: Control, upload: Upload, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, counted, and refused if they do not match the announcement."""
    is_zip = FRAMEWORKS[upload.framework].sent_as == "folder"
    size = 0
    head = tail = b""
    for chunk in chunks:
        size += len(chunk)
        _check_size(control, size)
        if len(head) < 4:
            head = (head + chunk)[:4]
            if is_zip and len(head) == 4 and not head.startswith(ZIP_START):
                raise _no_zip(upload)
        tail = (tail + chunk)[-TAIL:]
        yield chunk
    if size == 0:
        raise BadPackage("the file is empty", fix="send the model's file", path=upload.file_name)
    if upload.size is not None and size != upload.size:
        raise Invalid(
            f"{size} bytes arrived, and {upload.size} were announced",
            why="the upload broke off, or the file was changed meanwhile",
            fix="send it again",
            reason="broken_off",
        )
    if is_zip and ZIP_END not in tail:
        raise _no_zip(upload)


def _no_zip(upload: Upload) -> BadPackage:
    return BadPackage(
        "Not a valid ZIP file",
        why=f"{FRAMEWORKS[upload.framework].title} is a zip with its code and files",
        fix="zip the package, or name the right framework",
        path=upload.file_name,
        reason="not_a_zip",
    )
