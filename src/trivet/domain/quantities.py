"""Amounts as people write them."""

import re
from typing import Any

from trivet.errors import Invalid

__all__ = ["check_cpus", "check_replicas", "parse_memory"]

MOST_REPLICAS = 256
MOST_CPUS = 4096

_MEMORY = re.compile(r"([0-9]{1,18})(Ki|Mi|Gi|Ti|k|M|G|T)?")
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def check_cpus(said: Any, *, path: str) -> float:
    """A number of processors; it may be a part of one.

    Raises:
        Invalid: it is none above 0, or more than any machine has.
    """
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said <= MOST_CPUS:
        raise Invalid(f"{_shown(said)} cpus", fix=f"give a number above 0, up to {MOST_CPUS}, as in 0.5", path=path)
    return float(said)


def check_replicas(said: Any, *, path: str) -> int:
    """How many workers a model has.

    Raises:
        Invalid: it is no number from 1 to 256.
    """
    if not isinstance(said, int) or isinstance(said, bool) or not 1 <= said <= MOST_REPLICAS:
        raise Invalid(f"{_shown(said)} replicas", fix=f"ask for 1 to {MOST_REPLICAS}", path=path)
    return said


def parse_memory(said: Any, *, path: str) -> int:
    """Bytes of `1Gi`, `512Mi`, `2G`, `1073741824`.

    Args:
        said: a number of bytes, or a text.
        path: where it stands, for the message.

    Raises:
        Invalid: it is no amount above 0.
    """
    is_said = isinstance(said, int | str) and not isinstance(said, bool)
    match = _MEMORY.fullmatch(str(said)) if is_said else None
    amount = int(match[1]) * _UNITS.get(match[2], 1) if match else 0
    if not match or not 0 < amount < 2**63:
        fix = "say bytes, or a number with Mi or Gi behind it, as in memory: 512Mi"
        raise Invalid(f"{str(said)[:80]!r} is no amount of memory", fix=fix, path=path)
    return amount


def _shown(said: Any) -> str:
    return repr(said)[:80]
