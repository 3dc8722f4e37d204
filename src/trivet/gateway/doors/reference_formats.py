"""The reference's formats: which one a request is in and which one its answer has, from the headers."""

from dataclasses import dataclass
from enum import Enum, auto

from trivet.errors import NotAcceptable, Unsupported

__all__ = ["CONTENT_TYPES", "Format", "negotiate"]


class Format(Enum):
    """A body's format."""

    RECORDS = auto()
    ARROW_FILE = auto()
    ARROW_STREAM = auto()


CONTENT_TYPES: dict[Format, bytes] = {
    Format.RECORDS: b"application/json; format=pandas-records",
    Format.ARROW_FILE: b"application/vnd.apache.arrow.file",
    Format.ARROW_STREAM: b"application/vnd.apache.arrow.stream",
}

KNOWN = (
    "application/json; format=pandas-records, application/vnd.apache.arrow.file and application/vnd.apache.arrow.stream"
)


@dataclass(frozen=True, slots=True)
class _MediaType:
    name: str
    parameters: dict[str, str]


def negotiate(content_type: bytes, accept: bytes) -> tuple[Format, Format]:
    """The format of a request and of its answer.

    Without a choice the answer has the request's format.

    Raises:
        Unsupported: the request is in a format that is not taken, or names none. Without a content type, a page of any site
            could send it.
        NotAcceptable: the answer is to be in a format that is not made.
    """
    given = _parse(content_type.decode("latin-1"))
    if not given.name:
        raise Unsupported("the request has no Content-Type", fix=f"send one of {KNOWN}")
    came = _format(given)
    if came is None:
        why = None
        if given.name == "application/x-www-form-urlencoded":
            why = "curl sends it when -H is left out"
        raise Unsupported(f"Content-Type {given.name!r} is not supported", why=why, fix=f"send one of {KNOWN}")
    return came, _wanted(accept.decode("latin-1"), came)


def _wanted(accept: str, came: Format) -> Format:
    if not accept.strip():
        return came
    choices: list[tuple[float, int, Format]] = []
    for position, text in enumerate(accept.split(",")):
        media = _parse(text)
        if media.name in ("*/*", "application/*"):
            wanted: Format | None = came
        else:
            wanted = _format(media)
        quality = _quality(media)
        if wanted is not None and quality > 0:
            choices.append((-quality, position, wanted))
    if not choices:
        raise NotAcceptable(f"Accept {accept!r} cannot be met", fix=f"accept one of {KNOWN}")
    return min(choices, key=lambda choice: choice[:2])[2]


def _format(media: _MediaType) -> Format | None:
    match media.name:
        case "application/json" if media.parameters.get("format", "pandas-records") == "pandas-records":
            return Format.RECORDS
        case "application/vnd.apache.arrow.file":
            return Format.ARROW_FILE
        case "application/vnd.apache.arrow.stream":
            return Format.ARROW_STREAM
    return None


def _parse(text: str) -> _MediaType:
    name, *rest = text.split(";")
    pairs = (part.partition("=") for part in rest)
    return _MediaType(name.strip().lower(), {k.strip().lower(): v.strip().strip('"').lower() for k, _, v in pairs})


def _quality(media: _MediaType) -> float:
    try:
        return float(media.parameters.get("q", "1"))
    except ValueError:
        return 0.0
