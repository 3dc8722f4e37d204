"""Assays are not supported yet; only the names that describe them exist."""

from enum import StrEnum

from wallaroo.object import ASSAYS, absent

__all__ = ["Aggregation", "AssayBuilder", "AssayConfig", "BinMode", "Metric"]


class BinMode(StrEnum):
    """The ways to choose bins."""

    NONE = "None"
    EQUAL = "Equal"
    QUANTILE = "Quantile"
    PROVIDED = "Provided"


class Aggregation(StrEnum):
    """The quantity of a bin that is compared."""

    DENSITY = "Density"
    CUMULATIVE = "Cumulative"


class Metric(StrEnum):
    """The distance between two distributions."""

    PSI = "PSI"
    MAXDIFF = "MaxDiff"
    SUMDIFF = "SumDiff"


AssayBuilder = absent("assays are", fix=ASSAYS)
AssayConfig = absent("assays are", fix=ASSAYS)
