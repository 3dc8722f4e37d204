"""Errors of the control API: a status code and a body."""

import logging
import secrets
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from trivet.domain.frameworks import NOT_YET, Framework, framework_names
from trivet.errors import Internal, Invalid, Kind, NotFound, Overloaded, TrivetError, Unavailable

__all__ = ["STATUS", "add_error_answers", "error_response", "of_details"]

log = logging.getLogger(__name__)

STATUS: dict[Kind, int] = {
    Kind.INVALID: 400,
    Kind.UNAUTHORIZED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.NOT_ACCEPTABLE: 406,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    # Here a request asks for a feature that is not there; at the gateway it sends what is not taken: 415.
    Kind.UNSUPPORTED: 501,
    Kind.OVERLOADED: 429,
    # Here an uploaded model is refused; at the gateway a model fails while it answers, and the reference says 500.
    Kind.MODEL: 422,
    Kind.INTERNAL: 500,
    Kind.UNAVAILABLE: 503,
    Kind.DEADLINE: 504,
}


def error_response(error: TrivetError, *, status: int | None = None) -> Response:
    """An error as JSON: the reference's fields, and ours beside them."""
    status = status or STATUS[error.kind]
    body: dict[str, Any] = {
        "code": status,
        "status": "error",
        "error": error.message,
        "msg": error.message,
        "source": "platform",
        "reason": error.reason,
        "class": type(error).__name__,
        "what": error.what,
        "why": error.why,
        "path": error.path,
        "fix": error.fix,
        "request_id": secrets.token_hex(6),
    }
    if status >= 500 and status != STATUS[Kind.UNSUPPORTED]:
        log.warning("request %s: %s", body["request_id"], error.message)
    headers = {"x-content-type-options": "nosniff"}
    if isinstance(error, Overloaded | Unavailable):
        headers["retry-after"] = str(error.retry_after_s)
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    content = {name: _encodable(value) for name, value in body.items() if value is not None}
    return Response(orjson.dumps(content), status_code=status, media_type="application/json", headers=headers)


def _encodable(value: Any) -> Any:
    """A text without lone surrogates, which a message can quote."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def add_error_answers(app: FastAPI) -> None:
    """Answer every error in the same form."""

    async def known(_request: Request, error: Exception) -> Response:
        assert isinstance(error, TrivetError)
        return error_response(error)

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return error_response(_of_validation(error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path
        match error.status_code:
            case 404:
                answer: TrivetError = NotFound(f"path not found: {path}", fix="see /docs")
            case 405:
                answer = Invalid(f"{path} does not take {request.method}", fix="see /docs", reason="method")
            case _:
                answer = Invalid("the request cannot be read", why=str(error.detail), fix="see /docs")
        return error_response(answer, status=error.status_code)

    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return error_response(Internal("Internal processing error", fix="the platform's log says more"))

    app.add_exception_handler(TrivetError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)


def _of_validation(error: RequestValidationError) -> TrivetError:
    return of_details(error.errors())


def of_details(details: Sequence[Any]) -> Invalid:
    """The first error in a body, path or query. An unknown name explains more than a missing one, so it comes first."""
    first = next((each for each in details if each["type"] == "extra_forbidden"), details[0])
    place = [str(part) for part in first["loc"][1:]]
    path = ".".join(place) or str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        known = _fields(place)
        close = get_close_matches(place[-1], known, n=1)
        fix = f"did you mean {close[0]!r}?" if close else "see /docs for the fields"
        return Invalid(f"unknown field {place[-1]!r}", fix=fix, path=path)
    if first["type"] == "missing":
        return Invalid(f"{path!r} is missing", fix=f"add {path!r}", path=path)
    if first["type"] == "json_invalid":
        return Invalid(
            "the body is not JSON", why=str(first.get("ctx", {}).get("error", "")), fix="send JSON", path="body"
        )
    if first["type"] == "enum" and place[-1:] == ["framework"]:
        return _no_framework(first["input"], path=path)
    fix = "see /docs for the fields"
    if place[-1:] in (["input_schema"], ["output_schema"]):
        fix = "send base64 of schema.serialize(), or 'field: float32[29]; other: string'"
    why = str(first["msg"]).removeprefix("Value error, ")
    return Invalid("invalid value for the field", why=why, fix=fix, path=path)


def _no_framework(given: Any, *, path: str) -> Invalid:
    """One that is misspelled, or not supported yet."""
    names = framework_names()
    why = f"known are {', '.join(names[:-1])} and {names[-1]}"
    shown = repr(str(given)[:40])
    # Stricter than the default: 'pytorch' (0.62) is not a misspelt 'python'.
    close = get_close_matches(str(given).strip().lower(), [each.value for each in Framework], n=1, cutoff=0.65)
    if close:
        what, fix = f"unknown framework {shown}", f"did you mean {close[0]!r}?"
    else:
        what, fix = f"the framework {shown} is not supported yet", NOT_YET
    return Invalid(what, why=why, fix=fix, path=path, reason="unknown_framework")


def _fields(place: Sequence[str]) -> list[str]:
    """The names of all fields of bodies, except those on the path to the wrong one."""
    from trivet.control import request_bodies

    kinds = (getattr(kind, "model_fields", None) for kind in vars(request_bodies).values())
    names = {name for fields in kinds if isinstance(fields, dict) for name in fields}
    return sorted(names - set(place))
