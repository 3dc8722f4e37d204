"""Quantities as users write them."""

import re
from typing import Any

from trivet.errors import Invalid

__all__ = ["check_cpus", "check_gpus", "check_replicas", "parse_memory"]

MOST_REPLICAS = 256
MOST_CPUS = 4096
MOST_GPUS = 256

_MEMORY = re.compile(r"([0-9]{1,18})(Ki|Mi|Gi|Ti|k|M|G|T)?")
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def check_cpus(given: Any, *, path: str) -> float:
    """A number of processors; it may be a part of one.

    Raises:
        Invalid: it is not a number above 0, or is more than any machine has.
    """
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= MOST_CPUS:
        raise Invalid(f"{_shown(given)} cpus", fix=f"give a number above 0, up to {MOST_CPUS}, as in 0.5", path=path)
    return float(given)


def check_gpus(given: Any, *, path: str) -> int:
    """How many GPUs a worker has.

    Raises:
        Invalid: it is not a number from 0 to 256.
    """
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= MOST_GPUS:
        raise Invalid(f"{_shown(given)} GPUs", fix=f"ask for 0 to {MOST_GPUS}", path=path)
    return given


def check_replicas(given: Any, *, path: str) -> int:
    """How many workers a model has.

    Raises:
        Invalid: it is not a number from 1 to 256.
    """
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MOST_REPLICAS:
        raise Invalid(f"{_shown(given)} replicas", fix=f"ask for 1 to {MOST_REPLICAS}", path=path)
    return given


def parse_memory(given: Any, *, path: str) -> int:
    """Bytes of `1Gi`, `512Mi`, `2G`, `1073741824`.

    Args:
        given: a number of bytes, or a text.
        path: its place in the input, for the message.

    Raises:
        Invalid: it is not an amount above 0.
    """
    is_amount = isinstance(given, int | str) and not isinstance(given, bool)
    match = _MEMORY.fullmatch(str(given)) if is_amount else None
    amount = int(match[1]) * _UNITS.get(match[2], 1) if match else 0
    if not match or not 0 < amount < 2**63:
        fix = "give bytes, or a number with the suffix Mi or Gi, as in memory: 512Mi"
        raise Invalid(f"{str(given)[:80]!r} is not an amount of memory", fix=fix, path=path)
    return amount


def _shown(given: Any) -> str:
    return repr(given)[:80]
