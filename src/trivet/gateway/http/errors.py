"""What an error becomes over HTTP: a status code and a body."""

from typing import Literal

import orjson

from trivet.errors import Kind, Overloaded, TrivetError, Unavailable

__all__ = ["STATUS", "error_body", "error_headers"]

STATUS: dict[Kind, int] = {
    Kind.INVALID: 400,
    Kind.NOT_FOUND: 404,
    Kind.NOT_ACCEPTABLE: 406,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED: 415,
    Kind.OVERLOADED: 429,
    Kind.MODEL: 500,
    Kind.INTERNAL: 500,
    Kind.UNAVAILABLE: 503,
    Kind.DEADLINE: 504,
}


def error_body(
    error: TrivetError, *, status: int, request_id: str, source: Literal["engine", "platform"] = "engine"
) -> bytes:
    """The JSON that a caller sees.

    `code`, `status`, `error` and `source` are those of the reference's engine; `reason` is a slug that programs can match,
    `path` says where in the request, `fix` what to do. What is said before a request reaches any pipeline has the source
    `platform`.
    """
    body: dict[str, object] = {
        "code": status,
        "status": "error",
        "error": error.message,
        "source": source,
        "reason": error.reason,
    }
    if error.path is not None:
        body["path"] = error.path
    if error.fix is not None:
        body["fix"] = error.fix
    body["request_id"] = request_id
    return orjson.dumps(body, default=str)


def error_headers(error: TrivetError) -> list[tuple[bytes, bytes]]:
    """Headers that go with an error."""
    if isinstance(error, Overloaded | Unavailable):
        return [(b"retry-after", b"%d" % error.retry_after_s)]
    return []
