"""Assays, which are not there yet; the words that they are described with are."""

from enum import StrEnum

from wallaroo.object import absent

__all__ = ["Aggregation", "AssayBuilder", "AssayConfig", "BinMode", "Metric"]


class BinMode(StrEnum):
    """How bins are chosen."""

    NONE = "None"
    EQUAL = "Equal"
    QUANTILE = "Quantile"
    PROVIDED = "Provided"


class Aggregation(StrEnum):
    """What of a bin is compared."""

    DENSITY = "Density"
    CUMULATIVE = "Cumulative"


class Metric(StrEnum):
    """How far two distributions are apart."""

    PSI = "PSI"
    MAXDIFF = "MaxDiff"
    SUMDIFF = "SumDiff"


AssayBuilder = absent("assays are")
AssayConfig = absent("assays are")
