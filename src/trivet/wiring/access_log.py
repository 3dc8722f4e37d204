"""The access log of a gateway, where the settings ask for one."""

from typing import Final

from trivet.gateway.json_lines import JsonLines
from trivet.settings import Settings

__all__ = ["open_access_log"]

MAX_BYTES: Final = 64 * 2**20
# 40,000 requests a second.
MOST: Final = 10_000


def open_access_log(settings: Settings) -> JsonLines | None:
    """The log; None where it is off. Close it after the last request."""
    if not settings.access_log:
        return None
    return JsonLines(settings.home / "logs" / "access.jsonl", max_bytes=MAX_BYTES, most=MOST)
