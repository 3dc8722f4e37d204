"""Compares an answer with the expected one."""

import math
from typing import Any

__all__ = ["difference"]


def difference(expected: Any, actual: Any, *, rtol: float, path: str = "") -> str | None:
    """Where two JSON values differ, numbers compared with a relative tolerance.

    Records may hold more fields than are expected.

    Returns:
        A sentence that names the place and both values, or None where they agree.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name, value in expected.items():
            if name not in actual:
                return f"{path}.{name} is missing"
            found = difference(value, actual[name], rtol=rtol, path=f"{path}.{name}")
            if found is not None:
                return found
        return None
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return f"{path or 'the answer'} has {len(actual)} entries, expected {len(expected)}"
        for index, (wanted, got) in enumerate(zip(expected, actual, strict=True)):
            found = difference(wanted, got, rtol=rtol, path=f"{path}[{index}]")
            if found is not None:
                return found
        return None
    if _is_number(expected) and _is_number(actual):
        same = math.isclose(expected, actual, rel_tol=rtol)
    else:
        same = type(expected) is type(actual) and expected == actual
    return None if same else f"{path or 'the answer'} is {actual!r}, expected {expected!r}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
