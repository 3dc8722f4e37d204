"""Universal Binary JSON as XGBoost writes it."""

import struct
from typing import Any

__all__ = ["booster", "buffer", "ubjson"]


def ubjson(value: Any) -> bytes:
    """A value: texts, whole numbers, lists, dictionaries, and bytes as an array of small numbers."""
    if isinstance(value, str):
        return b"S" + _text(value)
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, int):
        return b"i" + struct.pack(">b", value)
    if isinstance(value, bytes):
        return b"[$U#L" + struct.pack(">q", len(value)) + value
    if isinstance(value, list):
        return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(ubjson, value))
    return b"{" + b"".join(_text(name) + ubjson(each) for name, each in value.items()) + b"}"


def booster(
    *,
    objective: str = "binary:logistic",
    features: int = 4,
    classes: int = 0,
    targets: int = 1,
    names: tuple[str, ...] = (),
    estimator: str | None = None,
    version: tuple[int, ...] = (3, 2, 0),
) -> dict[str, Any]:
    """What a file of a booster says, beside its trees."""
    attributes = {} if estimator is None else {"scikit_learn": f'{{"_estimator_type": "{estimator}"}}'}
    return {
        "learner": {
            "attributes": attributes,
            "feature_names": list(names),
            "feature_types": [],
            "gradient_booster": {"model": {"trees": [{"split_conditions": "none"}], "weights": ["1", "2"]}},
            "learner_model_param": {
                "num_feature": str(features),
                "num_class": str(classes),
                "num_target": str(targets),
            },
            "objective": {"name": objective},
        },
        "version": list(version),
    }


def buffer(**facts: Any) -> bytes:
    """What a pickled booster holds."""
    whole = booster(**facts)
    return ubjson({"Config": {"version": whole["version"]}, "Model": {"learner": whole["learner"]}})


def _text(value: str) -> bytes:
    data = value.encode()
    return b"L" + struct.pack(">q", len(data)) + data
