"""The forms that JSON requests have for values that JSON does not know."""

import base64
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

__all__ = ["WITHOUT_JSON", "json_form"]

WITHOUT_JSON = (date, time, timedelta, bytes, Decimal)
"""The types that `json_form` takes; `datetime` is a `date`."""


def json_form(value: Any) -> Any:
    """ISO 8601 for dates and times, seconds for lengths of time, base64 for bytes, text for decimal numbers.

    Raises:
        TypeError: it is of another type.
    """
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
