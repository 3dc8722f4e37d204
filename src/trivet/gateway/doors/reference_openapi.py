"""The OpenAPI description of pipelines, made from their schemas."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.engine.pipeline import ServedPipeline
from trivet.gateway.doors.reference_addresses import INFER, full_path, named_paths
from trivet.gateway.doors.reference_formats import CONTENT_TYPES, Format
from trivet.gateway.formats.dataset import ALL_PARTS
from trivet.gateway.formats.json_text import column_texts
from trivet.gateway.pipelines import Place

__all__ = ["describe", "describe_all", "example_row", "json_schema"]

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

ROW_ERROR: dict[str, Any] = {
    "type": "object",
    "description": "Why this row failed.",
    "properties": {
        "message": {"type": "string", "description": "What is wrong, and why."},
        "reason": {"type": "string", "description": "A slug that programs can match."},
        "path": {"type": "string", "description": "Where in the request: [3].tensor[17]."},
        "fix": {"type": ["string", "null"], "description": "What to do about it."},
    },
}

JSON = "application/json"
ERROR = {"$ref": "#/components/schemas/Error"}
ERRORS = {
    "400": "The request is wrong; nothing was predicted.",
    "401": "The token is missing or wrong, where one is needed.",
    "403": "The request comes from a page of another site.",
    "404": "Nothing is deployed here any more.",
    "406": "The requested format of the answer is not supported.",
    "413": "The body is too large.",
    "415": "The format of the body is not supported, or not named.",
    "421": "The host that the request names is not this one.",
    "429": "Too many requests wait; try again after Retry-After seconds.",
    "500": "The model failed, or its answer differs from what it declares.",
    "503": "No worker can answer, or the worker died.",
    "504": "The model took longer than its limit.",
}


def _answer(text: str, schema: dict[str, Any], media: str = JSON) -> dict[str, Any]:
    return {"description": text, "content": {media: {"schema": schema}}}


def _members(properties: dict[str, Any], *, required: Sequence[str] | None = None) -> dict[str, Any]:
    needed = list(properties if required is None else required)
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def _list_of(name: str, items: dict[str, Any]) -> dict[str, Any]:
    return _members({name: {"type": "array", "items": items}})


SENT: dict[str, Any] = {"type": "number"}
ANSWERED: dict[str, Any] = {
    "type": ["number", "null"],
    "description": "null for NaN and infinity, which JSON does not have",
}


def json_schema(field: pa.Field, number: dict[str, Any] = SENT) -> dict[str, Any]:
    """JSON Schema of one field's value in a record.

    Args:
        field: of the model's schema.
        number: the schema of a float.
    """
    schema = _type_schema(field.type, number)
    if field.nullable and not _is_list(field.type):
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def _type_schema(kind: pa.DataType, number: dict[str, Any]) -> dict[str, Any]:
    if _is_list(kind):
        schema: dict[str, Any] = {"type": "array", "items": _type_schema(kind.value_type, number)}
        if pa.types.is_fixed_size_list(kind):
            schema |= {"minItems": kind.list_size, "maxItems": kind.list_size}
        return schema
    if pa.types.is_struct(kind):
        members = [kind.field(index) for index in range(kind.num_fields)]
        return {
            "type": "object",
            "properties": {member.name: json_schema(member, number) for member in members},
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
        return number
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
        "properties": {field.name: json_schema(field, SENT if inputs else ANSWERED) for field in schema},
        "required": [field.name for field in schema if not (inputs and field.nullable)],
    }
    if inputs:
        described["additionalProperties"] = {
            "description": "Columns that the model does not know are answered under in."
        }
    return described


def describe(pipeline: ServedPipeline, *, path: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document of one pipeline: its name, its version, and what it takes and answers.

    Args:
        pipeline: what answers.
        path: where, relative to the server.
    """
    steps = [f"{step.name}: {step.framework} model, sha256 {step.sha}" for step in pipeline.steps]
    return {
        "openapi": "3.1.1",
        "info": {
            "title": pipeline.name,
            "version": pipeline.version,
            "description": "; then ".join(steps),
        },
        # Of the server that the document is from.
        "servers": [{"url": "/"}],
        "paths": {path: {"post": _operation(pipeline, name="infer")}},
        "components": {"schemas": {"Error": ERROR_SCHEMA}},
    }


def describe_all(pipelines: Sequence[ServedPipeline], *, url: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document of everything that a gateway answers, at this address."""
    if len(pipelines) == 1 and pipelines[0].deployment_id is None:
        document = describe(pipelines[0], path=INFER)
    else:
        names = [pipeline.name for pipeline in pipelines]
        paths: dict[str, Any] = {}
        for pipeline in pipelines:
            place = Place.of(pipeline)
            path = named_paths(place.name)[0] if names.count(place.name) == 1 else full_path(place) or INFER
            operation = _operation(pipeline, name=f"infer-{pipeline.name}-{pipeline.deployment_id}")
            paths[path] = {"post": operation | {"tags": [pipeline.name]}}
        document = {
            "openapi": "3.1.1",
            "info": {"title": "Deployed pipelines", "version": "1"},
            "paths": paths,
            "components": {"schemas": {"Error": ERROR_SCHEMA}},
        }
    document["paths"] |= _pages()
    document["servers"] = [{"url": url}]
    return document


def _operation(pipeline: ServedPipeline, *, name: str) -> dict[str, Any]:
    inputs, outputs = pipeline.runner.input_schema, pipeline.runner.output_schema
    row: dict[str, Any] = {
        "type": "object",
        "properties": {
            "time": {"type": "integer", "description": "Milliseconds since 1970."},
            "in": _object(inputs, inputs=True),
            "out": _object(outputs, inputs=False),
            "anomaly": {"type": "object", "properties": {"count": {"type": "integer"}}},
            "metadata": {"type": "object"},
            "error": {"type": "null", "description": "With on_error=null only."},
        },
    }
    nulls = {"type": "object", "additionalProperties": {"type": "null"}}
    failed = {
        "type": "object",
        "description": "With on_error=null only: a row that failed.",
        "properties": {
            "time": row["properties"]["time"],
            "in": {"description": "What was sent."},
            **dict.fromkeys(("out", "anomaly", "metadata"), nulls),
            "error": ROW_ERROR,
        },
    }
    arrow: dict[str, Any] = {
        CONTENT_TYPES[form].decode(): {"schema": {}} for form in (Format.ARROW_FILE, Format.ARROW_STREAM)
    }
    records = CONTENT_TYPES[Format.RECORDS].decode()
    errors = {status: _answer(text, ERROR) for status, text in ERRORS.items()}
    return {
        "operationId": name,
        "summary": "Predict: one row of output for each row of input.",
        "parameters": [
            _parameter("dataset[]", _list_of_parts(outputs), "Parts or columns wanted; all by default."),
            _parameter("dataset.exclude[]", _list_of_parts(outputs), "Parts or columns not wanted."),
            _parameter("dataset.flatten", {"type": "boolean", "default": False}, "Dotted keys instead of nested ones."),
            _parameter(
                "on_error",
                {"enum": ["raise", "null"], "default": "raise"},
                "With null, a row that fails has nulls and an error, and the others are answered.",
            ),
        ],
        "requestBody": {
            "required": True,
            "content": {
                records: {
                    "schema": {"type": "array", "minItems": 1, "items": _object(inputs, inputs=True)},
                    "example": [example_row(pipeline)],
                },
                **arrow,
            },
        },
        "responses": {
            "200": {
                "description": "The answers, in the order of the rows.",
                "content": {records: {"schema": {"type": "array", "items": {"anyOf": [row, failed]}}}, **arrow},
            },
            **errors,
        },
    }


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _list_of_parts(outputs: pa.Schema) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "examples": [list(ALL_PARTS), [f"out.{outputs.names[0]}"]]}


TEXT: dict[str, Any] = {"type": "string"}
STATUS = {"enum": ["Running", "Starting", "Stopping"]}
REASONS = {"type": "object", "additionalProperties": TEXT}
MODELS = {
    "name": TEXT,
    "version": TEXT,
    "sha": TEXT,
    "status": STATUS,
    "framework": TEXT,
    "runtime": TEXT,
    "pipelines": {"type": "array", "items": TEXT},
}
PIPELINES = {"id": TEXT, "version": TEXT, "status": STATUS, "deployment_id": {"type": "integer"}, "url": TEXT}
READY = _members({"status": {"const": "ready"}, "pipelines": REASONS}, required=["status"])
NOT_READY = _members({"status": TEXT, "error": TEXT, "reason": TEXT, "pipelines": REASONS}, required=["status"])


def _pages() -> dict[str, Any]:
    return {
        "/models": _page("The models that answer.", _list_of("models", _members(MODELS))),
        "/pipelines": _page(
            "The pipelines that answer, and where.",
            _list_of("pipelines", _members(PIPELINES, required=["id", "version", "status"])),
        ),
        "/healthz": _page("Whether the process lives.", _members({"status": {"const": "alive"}})),
        "/readyz": _page("Whether canned rows are answered.", READY, {"503": _answer("Not ready.", NOT_READY)}),
        "/metrics": _page("Measurements for Prometheus.", TEXT, media="text/plain"),
    }


def _page(
    text: str, schema: dict[str, Any], more: dict[str, Any] | None = None, *, media: str = JSON
) -> dict[str, Any]:
    errors = {status: _answer(ERRORS[status], ERROR) for status in ("400", "401", "403", "421", "500")}
    return {"get": {"summary": text, "responses": {"200": _answer(text, schema, media), **(more or {}), **errors}}}


def example_row(pipeline: ServedPipeline) -> dict[str, Any]:
    """A row that the pipeline takes."""
    canned: Batch = pipeline.probe.canned
    return {name: json.loads(column_texts(canned, index)[0]) for index, name in enumerate(canned.schema.names)}
