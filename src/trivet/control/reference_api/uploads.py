"""Uploads in the reference's MLOps API: forms."""

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import APIRouter, Request
from pydantic import ValidationError

from trivet.control.context import Control
from trivet.control.http.access import CurrentCaller
from trivet.control.http.body_reading import plain_json
from trivet.control.http.errors import of_details
from trivet.control.http.forms import receive_form
from trivet.control.reference_api.reading import Document, optional
from trivet.control.request_bodies import NewUpload
from trivet.control.use_cases import uploads
from trivet.domain.access import Action, Caller, check
from trivet.domain.version import ModelVersion
from trivet.errors import Invalid

__all__ = ["add_upload_routes"]


def add_upload_routes(routes: APIRouter, control: Control) -> None:
    """Below `models`: the two that take a form."""

    @routes.post("/models/upload_and_convert", status_code=202)
    async def upload_and_convert(caller: CurrentCaller, request: Request) -> Document:
        """A form: a part `metadata` (JSON) and a part `file`."""
        return await _upload(caller, request, _of_metadata)

    @routes.post("/models/upload_stream", status_code=202)
    async def upload_stream(caller: CurrentCaller, request: Request) -> Document:
        """A form with the fields name, filename, visibility and workspace_id, and a part `file`: an ONNX file."""
        return await _upload(caller, request, _of_fields)

    async def _upload(caller: Caller, request: Request, read: Callable[[dict[str, str], str], NewUpload]) -> Document:
        # Before the form is read, which may be gigabytes.
        check(caller, Action.UPLOAD_MODEL)
        most_bytes = int(control.settings.max_upload_mib * 2**20)
        stall_s = control.threads.stall_s
        async with receive_form(request, control.uploads, most_bytes=most_bytes, stall_s=stall_s) as form:

            def receive() -> ModelVersion:
                return uploads.receive_file(control, caller, read(form.fields, form.file_name), form.path)

            version = await control.threads.run(receive)
        return {"insert_models": {"returning": [{"models": [{"id": version.id}]}]}}


def _of_metadata(fields: dict[str, str], file_name: str) -> NewUpload:
    if "metadata" not in fields:
        raise Invalid("the form has no part `metadata`", fix="send it as JSON", path="metadata")
    metadata = orjson.loads(plain_json(fields["metadata"].encode()))
    if not isinstance(metadata, dict):
        raise Invalid("the part `metadata` is not a JSON object", fix="send an object", path="metadata")
    conversion = optional(metadata, "conversion", dict) or {}
    return _new_upload(
        name=metadata.get("name"),
        file_name=file_name,
        framework=conversion.get("framework"),
        workspace=metadata.get("workspace_id"),
        visibility=metadata.get("visibility", "private"),
        input_schema=metadata.get("input_schema"),
        output_schema=metadata.get("output_schema"),
        arch=conversion.get("arch"),
        accel=conversion.get("accel") or "none",
        tensor_fields=conversion.get("tensor_fields"),
        # The reference always sends "3.8" here: the requirements decide.
        python=None,
    )


def _of_fields(fields: dict[str, str], file_name: str) -> NewUpload:
    return _new_upload(
        name=fields.get("name"),
        file_name=fields.get("filename") or file_name,
        framework="onnx",
        workspace=fields.get("workspace_id"),
        visibility=fields.get("visibility", "private"),
    )


def _new_upload(*, workspace: Any, **fields: Any) -> NewUpload:
    """The same as the native API takes.

    Args:
        workspace: its number, or its name.
        fields: the fields.
    """
    try:
        return NewUpload(workspace=str(workspace if workspace is not None else "default"), **fields)
    except ValidationError as error:
        raise of_details([{**each, "loc": ("form", *each["loc"])} for each in error.errors()]) from error
