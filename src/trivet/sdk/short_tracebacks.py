"""Errors whose tracebacks end at the user's call: what the SDK did in between says nothing that the error does not."""

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from trivet.errors import TrivetError

__all__ = ["short_tracebacks"]

C = TypeVar("C", bound=type)

log = logging.getLogger(__name__)


def short_tracebacks(kind: C) -> C:
    """A class whose public methods raise `TrivetError` with a traceback of one frame, which notebooks hide. The whole
    traceback is logged, as a debug message.
    """
    for name, member in list(vars(kind).items()):
        if inspect.isfunction(member) and (not name.startswith("_") or name == "__init__"):
            setattr(kind, name, _short(member))
    return kind


def _short(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # IPython and pytest leave such frames out.
        try:
            return function(*args, **kwargs)
        except TrivetError as error:
            raise _shortened(error, function) from None

    @functools.wraps(function)
    async def call_later(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        try:
            return await function(*args, **kwargs)
        except TrivetError as error:
            raise _shortened(error, function) from None

    return call_later if inspect.iscoroutinefunction(function) else call


def _shortened(error: TrivetError, function: Callable[..., Any]) -> TrivetError:
    log.debug("%s failed", function.__qualname__, exc_info=error)
    return error.with_traceback(None)
