"""Decoders of JSON, made once for each type."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

__all__ = ["decoder"]

T = TypeVar("T")

_made: dict[tuple[Any, Any], msgspec.json.Decoder[Any]] = {}
_making = threading.Lock()


def decoder(kind: type[T], dec_hook: Callable[[type, Any], Any] | None = None) -> msgspec.json.Decoder[T]:
    """The decoder of a type; `msgspec.convert` to the type is safe after this call, too.

    msgspec 0.22 examines a struct or dataclass at its first use. If two threads do so at once, one of them sees what the other
    has not finished, and the process ends by SIGSEGV. So every type is examined here, by one thread at a time.
    """
    key = (kind, dec_hook)
    if key not in _made:
        with _making:
            if key not in _made:
                _made[key] = msgspec.json.Decoder(kind, dec_hook=dec_hook)
    return _made[key]
