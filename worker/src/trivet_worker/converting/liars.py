"""Conversions that report success and answer otherwise than their model: they are not tried."""

from typing import Any, Callable, Iterator, NamedTuple, Optional, Tuple

__all__ = ["KNOWN", "Liar", "known_liar"]


class Liar(NamedTuple):
    """A conversion that is known to be wrong.

    Attributes:
        framework: whose model.
        classes: of the models.
        option: whether a model of these classes is concerned.
        converters: the releases that are wrong, as the beginning of a version.
        why: what is wrong, as a clause.
    """

    framework: str
    classes: "Tuple[str, ...]"
    option: "Callable[[Any], bool]"
    converters: "Tuple[str, ...]"
    why: str


def _always(model: Any) -> bool:
    del model
    return True


KNOWN = (
    Liar(
        "sklearn",
        ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
        _always,
        ("1.20.",),
        "its thresholds become other numbers, and some rows another answer",
    ),
    Liar(
        "sklearn",
        ("SimpleImputer",),
        lambda model: bool(getattr(model, "add_indicator", False)),
        ("1.20.",),
        "with add_indicator its last columns are lost",
    ),
    Liar(
        "sklearn",
        ("CountVectorizer", "HashingVectorizer", "TfidfVectorizer"),
        _always,
        ("1.20.",),
        "text that is not ASCII becomes other words",
    ),
)
"""Found with the releases that are named."""


def known_liar(framework: str, model: Any, converter: str) -> "Optional[str]":
    """Why the conversion of a model is not tried; None if nothing is known against it.

    Args:
        framework: whose model.
        model: fitted; its parts are looked at, too.
        converter: the converter's release.
    """
    for part in _parts(model, 0):
        name = type(part).__name__
        for liar in KNOWN:
            if (
                liar.framework == framework
                and name in liar.classes
                and converter.startswith(liar.converters)
                and liar.option(part)
            ):
                return f"the converter is known to be wrong about {name}: {liar.why}"
    return None


def _parts(model: Any, depth: int) -> "Iterator[Any]":
    """An estimator and all estimators inside it."""
    yield model
    if depth > 8:
        return
    for value in vars(model).values() if hasattr(model, "__dict__") else ():
        for each in _members(value):
            if hasattr(each, "get_params"):
                yield from _parts(each, depth + 1)


def _members(value: Any) -> "Iterator[Any]":
    if isinstance(value, (list, tuple)) or (type(value).__name__ == "ndarray" and value.dtype == object):
        for each in list(value)[:50]:
            yield from _members(each)
    elif isinstance(value, dict):
        for each in list(value.values())[:50]:
            yield from _members(each)
    else:
        yield value
