"""How long to wait before the next try: a pure rule."""

__all__ = ["doubling_s"]


def doubling_s(failures: int, *, first_s: float, most_s: float) -> float:
    """The pause after one more failure: `first_s`, doubled for each earlier failure in a row, up to `most_s`."""
    # The exponent is capped only to avoid an overflow.
    return min(first_s * 2.0 ** min(failures, 64), most_s)
