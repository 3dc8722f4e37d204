"""What the error of a row says in an answer."""

from trivet.errors import TrivetError
from trivet.gateway.rowwise import RowAnswers

__all__ = ["FIELDS", "error_bytes", "fields_of"]

FIELDS = ("message", "reason", "path", "fix")
# An error stands in an answer as often as there are rows, so that its texts are cut.
MOST_TEXT = 1000


def fields_of(error: TrivetError) -> dict[str, str | None]:
    """What is wrong and why, a slug that programs can match, where in the request, and what to do about it."""
    values = (error.message, error.reason, error.path, error.fix)
    return {name: None if value is None else _cut(value) for name, value in zip(FIELDS, values, strict=True)}


def error_bytes(answers: RowAnswers) -> int:
    """About how many bytes the error of a row has, on average."""
    errors = answers.errors.values()
    texts = sum(len(text or "") for error in errors for text in fields_of(error).values())
    return texts // max(1, len(errors)) + 100


def _cut(text: str) -> str:
    # What model code raised may hold halves of surrogate pairs, which are not text.
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"
