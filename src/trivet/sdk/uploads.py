"""Sends a model's file: announces it, then sends its bytes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivet.domain.frameworks import Framework
from trivet.domain.network import NetworkUse
from trivet.errors import Invalid, ModelUploadError, NotFound, TrivetError, Unavailable
from trivet.sdk.calls import Call, Operation, Reply, document
from trivet.sdk.operations import at, call, schema_text

if TYPE_CHECKING:
    import pyarrow as pa

    from trivet.domain.example_rows import Example
    from trivet.domain.version import Acceleration, Architecture

__all__ = ["announcement", "upload"]

UPLOAD_S = 3600.0


def announcement(
    name: str,
    framework: Framework | str,
    *,
    workspace: str,
    input_schema: "pa.Schema | str | None",
    output_schema: "pa.Schema | str | None",
    arch: "Architecture | str | None",
    accel: "Acceleration | str",
    python: str | None,
    network: NetworkUse | None = None,
    trust: bool = False,
    example: Any = None,
    allow_nulls: bool | None = None,
) -> dict[str, Any]:
    """The description of a file that is sent before its bytes.

    Raises:
        Invalid: a schema is not valid, or the example suggests none.
    """
    shown = _example(example)
    return {
        "name": name,
        "framework": str(getattr(framework, "value", framework)),
        "workspace": workspace,
        "input_schema": schema_text(input_schema, path="input_schema"),
        "output_schema": schema_text(output_schema, path="output_schema"),
        "arch": None if arch is None else str(getattr(arch, "value", arch)),
        "accel": str(getattr(accel, "value", accel)),
        "python": python,
        "network": network,
        "trust": trust or None,
        "suggested_schema": None if shown is None else schema_text(shown.schema, path="example"),
        "example": None if shown is None else list(shown.rows),
        "allow_nulls": allow_nulls,
    }


def _example(given: Any) -> "Example | None":
    if given is None:
        return None
    from trivet.domain.example_rows import Example, example_of

    return given if isinstance(given, Example) else example_of(given)


def upload(
    *,
    file: Path,
    file_name: str,
    fields: Mapping[str, Any],
    progress: Callable[[int, int], None] | None,
    timeout_s: float = UPLOAD_S,
) -> Operation[dict[str, Any]]:
    """Announce a file, then send it.

    Raises:
        ModelUploadError: it was refused.
    """
    body = {name: value for name, value in fields.items() if value is not None}
    try:
        announced = yield from call(
            "POST", "/v1/uploads", body={**body, "file_name": file_name, "size": file.stat().st_size}
        )
        version = yield from _send(announced, file=file, progress=progress, timeout_s=timeout_s)
    except TrivetError as error:
        if error.kind is not Invalid.kind or error.reason == "unauthorized":
            raise
        raise ModelUploadError(
            f"Model failed to upload: [400] Bad request: {error.what.rstrip('.')}.",
            fix="; ".join(part for part in (error.why, error.fix) if part) or None,
            path=error.path,
            reason=error.reason,
        ) from error
    return version


def _send(
    announced: Mapping[str, Any], *, file: Path, progress: Callable[[int, int], None] | None, timeout_s: float
) -> Operation[dict[str, Any]]:
    """Send the bytes of an announced file. If only the answer was lost, find the version by a request."""
    try:
        reply: Reply = yield Call(
            method="PUT", path=announced["url"], file=file, progress=progress, timeout_s=timeout_s
        )
    except Unavailable as broken:
        try:
            version: dict[str, Any] = yield from call("GET", at("versions", announced["uuid"]))
        except NotFound:
            raise Unavailable(broken.what, why=broken.why, fix="upload it again: no part of it was stored") from None
        except Unavailable:
            raise broken from None
        return version
    version = document(reply)
    return version
