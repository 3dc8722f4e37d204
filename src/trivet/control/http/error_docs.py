"""Errors in the API's description: which statuses a route answers, and the fields of an error."""

import copy
from http import HTTPStatus
from typing import Any

__all__ = ["with_errors"]

ALWAYS = (400, 403, 421, 500)
WITH_TOKEN = (401, 503)
WITH_BODY = (408, 413, 415)
CHANGING = (409, 501)
BODIES = ("post", "put", "patch")
REFERENCE = {"$ref": "#/components/schemas/Error"}


def with_errors(document: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI document with the errors of every route. `422` is removed: an invalid field is a 400 here."""
    document = copy.deepcopy(document)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Error"] = ERROR
    for operations in document["paths"].values():
        for method, operation in operations.items():
            responses = operation["responses"]
            responses.pop("422", None)
            for status in _statuses(method, operation):
                responses.setdefault(str(status), _response(HTTPStatus(status).phrase))
            responses["default"] = _response("Any other error")
    return document


def _statuses(method: str, operation: dict[str, Any]) -> list[int]:
    statuses = [*ALWAYS]
    if operation.get("security"):
        statuses += WITH_TOKEN
    if operation.get("parameters") or method in BODIES:
        statuses.append(404)
    if method in BODIES:
        statuses += WITH_BODY
    if method in (*BODIES, "delete"):
        statuses += CHANGING
    return sorted(statuses)


def _response(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": REFERENCE}}}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


ERROR: dict[str, Any] = {
    "title": "Error",
    "type": "object",
    "description": "What went wrong, why, and how to fix it.",
    "required": ["code", "status", "error", "msg", "source", "reason", "what", "request_id"],
    "properties": {
        "code": {"type": "integer", "description": "The HTTP status."},
        "status": {"type": "string", "const": "error", "description": "Always `error`."},
        "error": _text("What went wrong, and why."),
        "msg": _text("The same, by the name that the reference uses."),
        "source": {"type": "string", "const": "platform", "description": "Who says so."},
        "reason": _text("A word that programs can match."),
        "class": _text("The name of the error in `trivet.errors`."),
        "what": _text("What went wrong."),
        "why": _text("Why, if known."),
        "path": _text("Where in the request, where that is known."),
        "fix": _text("What to do about it, where that is known."),
        "request_id": _text("The platform's log has it, too."),
    },
}
