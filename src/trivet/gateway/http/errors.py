"""What an error becomes over HTTP, whichever door it leaves by: a status code and headers."""

from trivet.errors import Kind, Overloaded, TrivetError, Unavailable

__all__ = ["STATUS", "error_headers"]

STATUS: dict[Kind, int] = {
    Kind.INVALID: 400,
    Kind.UNAUTHORIZED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.NOT_ACCEPTABLE: 406,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    # Here a request sends what is not taken; in the control API it asks for a feature that is not there: 501.
    Kind.UNSUPPORTED: 415,
    Kind.OVERLOADED: 429,
    # The reference's engine answers 500 where a model fails; in the control API an uploaded model is refused: 422.
    Kind.MODEL: 500,
    Kind.INTERNAL: 500,
    Kind.UNAVAILABLE: 503,
    Kind.DEADLINE: 504,
}


def error_headers(error: TrivetError) -> list[tuple[bytes, bytes]]:
    """Headers that go with an error."""
    if isinstance(error, Overloaded | Unavailable):
        return [(b"retry-after", b"%d" % error.retry_after_s)]
    return []
