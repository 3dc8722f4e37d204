"""The OpenAPI description of a served model, made from its schemas, and a page that shows it without any script."""

import html
import json
from typing import Any

import pyarrow as pa

from trivet.domain.schema import format_type
from trivet.engine.batch import Batch
from trivet.engine.served import ServedModel
from trivet.gateway.dataset import ALL_PARTS
from trivet.gateway.formats.json_text import column_texts
from trivet.gateway.negotiation import CONTENT_TYPES, Format

__all__ = ["CONTENT_SECURITY_POLICY", "describe", "docs_page", "json_schema"]

CONTENT_SECURITY_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["code", "status", "error", "source", "reason", "request_id"],
    "properties": {
        "code": {"type": "integer", "description": "The HTTP status."},
        "status": {"const": "error"},
        "error": {"type": "string", "description": "What is wrong, and why."},
        "source": {"enum": ["engine", "platform"]},
        "reason": {"type": "string", "description": "A slug that programs can match."},
        "path": {"type": "string", "description": "Where in the request: [3].tensor[17]."},
        "fix": {"type": "string", "description": "What to do about it."},
        "request_id": {"type": "string"},
    },
}

ERRORS = {
    "400": "The request is wrong; nothing was predicted.",
    "406": "The answer is wanted in a form that is not made.",
    "413": "The body is too large.",
    "415": "The body is in a form that is not taken.",
    "429": "Too many requests wait; try again after Retry-After seconds.",
    "500": "The model failed, or answered something else than it declared.",
    "503": "No worker can answer, or the worker died.",
    "504": "The model took longer than it may.",
}


def json_schema(field: pa.Field) -> dict[str, Any]:
    """JSON Schema of one field's value in a record."""
    schema = _type_schema(field.type)
    if field.nullable and not _is_list(field.type):
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def _type_schema(kind: pa.DataType) -> dict[str, Any]:
    if _is_list(kind):
        schema: dict[str, Any] = {"type": "array", "items": _type_schema(kind.value_type)}
        if pa.types.is_fixed_size_list(kind):
            schema |= {"minItems": kind.list_size, "maxItems": kind.list_size}
        return schema
    if pa.types.is_struct(kind):
        members = [kind.field(index) for index in range(kind.num_fields)]
        return {
            "type": "object",
            "properties": {member.name: json_schema(member) for member in members},
            "required": [member.name for member in members if not member.nullable],
            "additionalProperties": False,
        }
    if pa.types.is_boolean(kind):
        return {"type": "boolean"}
    if pa.types.is_integer(kind):
        largest = 2 ** (kind.bit_width - pa.types.is_signed_integer(kind)) - 1
        return {
            "type": "integer",
            "minimum": -largest - 1 if pa.types.is_signed_integer(kind) else 0,
            "maximum": largest,
        }
    if pa.types.is_floating(kind):
        return {"type": "number"}
    if pa.types.is_timestamp(kind):
        return {"type": ["string", "integer"], "description": "ISO 8601, or milliseconds since 1970"}
    if pa.types.is_date(kind):
        return {"type": "string", "format": "date"}
    if pa.types.is_decimal(kind):
        return {"type": ["string", "number"]}
    if pa.types.is_duration(kind):
        return {"type": "number", "description": "seconds"}
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return {"type": "string", "contentEncoding": "base64"}
    return {"type": "string"}


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _object(schema: pa.Schema, *, inputs: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: json_schema(field) for field in schema},
        "required": [field.name for field in schema if not (inputs and field.nullable)],
    }
    if inputs:
        described["additionalProperties"] = {
            "description": "Columns that the model does not know are answered under in."
        }
    return described


def describe(served: ServedModel) -> dict[str, Any]:
    """An OpenAPI 3.1 document: title, version and server-relative paths of this model."""
    inputs, outputs = served.runner.input_schema, served.runner.output_schema
    row = {
        "type": "object",
        "properties": {
            "time": {"type": "integer", "description": "Milliseconds since 1970."},
            "in": _object(inputs, inputs=True),
            "out": _object(outputs, inputs=False),
            "anomaly": {"type": "object", "properties": {"count": {"type": "integer"}}},
            "metadata": {"type": "object"},
        },
    }
    arrow: dict[str, Any] = {
        CONTENT_TYPES[form].decode(): {"schema": {}} for form in (Format.ARROW_FILE, Format.ARROW_STREAM)
    }
    records = CONTENT_TYPES[Format.RECORDS].decode()
    errors = {
        status: {
            "description": text,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, text in ERRORS.items()
    }
    infer = {
        "operationId": "infer",
        "summary": "Predict: one row of output for each row of input.",
        "parameters": [
            _parameter("dataset[]", _list_of_parts(), "Parts or columns wanted; all by default."),
            _parameter("dataset.exclude[]", _list_of_parts(), "Parts or columns not wanted."),
            _parameter("dataset.flatten", {"type": "boolean", "default": False}, "Dotted keys instead of nested ones."),
        ],
        "requestBody": {
            "required": True,
            "content": {
                records: {
                    "schema": {"type": "array", "minItems": 1, "items": _object(inputs, inputs=True)},
                    "example": [_example(served)],
                },
                **arrow,
            },
        },
        "responses": {
            "200": {
                "description": "The answers, in the order of the rows.",
                "content": {records: {"schema": {"type": "array", "items": row}}, **arrow},
            },
            **errors,
        },
    }
    return {
        "openapi": "3.1.1",
        "info": {
            "title": served.name,
            "version": served.version,
            "description": f"{served.framework} model, sha256 {served.sha}",
        },
        "paths": {"/infer": {"post": infer}, **_pages()},
        "components": {"schemas": {"Error": ERROR_SCHEMA}},
    }


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _list_of_parts() -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "examples": [list(ALL_PARTS), ["out.prediction"]]}


def _pages() -> dict[str, Any]:
    pages = {
        "/models": "The model that is served.",
        "/pipelines": "The pipeline that is served.",
        "/healthz": "Whether the process lives.",
        "/readyz": "Whether a canned row is answered.",
        "/metrics": "Measurements for Prometheus.",
    }
    return {
        path: {"get": {"summary": text, "responses": {"200": {"description": text}}}} for path, text in pages.items()
    }


def _example(served: ServedModel) -> dict[str, Any]:
    canned: Batch = served.probe.canned
    return {name: json.loads(column_texts(canned, index)[0]) for index, name in enumerate(canned.schema.names)}


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }} td, th {{ text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }}
pre {{ background: #f4f4f4; padding: .8rem; overflow-x: auto; }} code {{ font-family: ui-monospace, monospace; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #1b1b1b; color: #ddd; }} pre {{ background: #2a2a2a; }} }}
</style></head><body>
<h1>{name}</h1>
<p>{framework} model, {runtime} runtime, version <code>{version}</code>, sha256 <code>{sha}</code></p>
<h2>Takes</h2><table>{inputs}</table>
<h2>Answers</h2><table>{outputs}</table>
<h2>Ask it</h2><pre><code>{curl}</code></pre>
<p>Choose parts with <code>?dataset[]=out</code>; send and get Arrow with
<code>application/vnd.apache.arrow.file</code> or <code>.stream</code>.</p>
<p><a href="/openapi.json">OpenAPI</a> · <a href="/models">models</a> · <a href="/readyz">ready?</a> · <a href="/metrics">metrics</a></p>
</body></html>
"""


def docs_page(served: ServedModel) -> bytes:
    """A page for people: what goes in, what comes out, a command to try."""
    row = json.dumps([_example(served)])
    if len(row) > 600:
        row = row[:600] + " …"
    curl = (
        "curl -X POST localhost:8080/infer \\\n"
        "  -H 'Content-Type: application/json; format=pandas-records' \\\n"
        f"  -d '{row}'"
    )
    return PAGE.format(
        name=html.escape(served.name),
        framework=html.escape(served.framework),
        runtime=served.runtime,
        version=html.escape(served.version),
        sha=served.sha,
        inputs=_table(served.runner.input_schema),
        outputs=_table(served.runner.output_schema),
        curl=html.escape(curl),
    ).encode()


def _table(schema: pa.Schema) -> str:
    return "".join(
        f"<tr><td><code>{html.escape(field.name)}</code></td><td><code>{html.escape(_type_text(field))}</code></td></tr>"
        for field in schema
    )


def _type_text(field: pa.Field) -> str:
    return format_type(field.type) + ("?" if field.nullable else "")
