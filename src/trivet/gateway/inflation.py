"""How large what came compressed may become."""

__all__ = ["MOST_TIMES", "most_inflated"]

MOST_TIMES = 100
FREE = 2**20


def most_inflated(size: int, *, max_bytes: int) -> int:
    """Bytes that `size` compressed bytes may become: a hundred times as many, a mebibyte in any case, `max_bytes` at most.

    Without it some kilobytes would be enough to have hundreds of megabytes held.
    """
    return min(max_bytes, max(FREE, MOST_TIMES * size))
