"""What a fitted scikit-learn model knows about its input: where its answers change, its categories, and its training data."""

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

__all__ = ["Knowledge", "has_trees", "knowledge_of"]

Array = Any

MOST_POINTS = 400
MOST_DEPTH = 6


class Knowledge(NamedTuple):
    """Facts about the features of a model, by their index.

    Attributes:
        points: rows where the answer may change: (row, feature) says which number of the row is on a threshold.
        middle: rows like those of the training, as far as the model has kept any.
        words: the known categories of features that are texts.
        numbers: the known categories of features that are numbers.
    """

    points: "List[Tuple[Array, int]]"
    middle: "Optional[Array]"
    words: "Dict[int, List[str]]"
    numbers: "Dict[int, List[float]]"


def knowledge_of(model: Any, width: int, names: "Sequence[str]", random: Any) -> Knowledge:
    """What is known of the features of a fitted model.

    Args:
        model: fitted.
        width: how many features it takes.
        names: of its features, if it was trained with a DataFrame.
        random: draws samples where there is too much.
    """
    words: Dict[int, List[str]] = {}
    numbers: Dict[int, List[float]] = {}
    for index, known in _categories(model, width, list(names)):
        for each in known:
            if isinstance(each, str):
                words.setdefault(index, []).append(each)
            elif isinstance(each, (int, float, np.integer, np.floating)) and np.isfinite(each):
                numbers.setdefault(index, []).append(float(each))
    middle = _middle(model, width, random)
    return Knowledge(_points(model, width, random), middle, words, numbers)


def has_trees(model: Any) -> bool:
    """Whether a fitted model, or the last step of a pipeline, consists of trees."""
    return next(_trees(_steps(model)[-1]), None) is not None


def _steps(model: Any) -> "List[Any]":
    """The steps of a pipeline, in order; a model that is none is one step."""
    steps = getattr(model, "steps", None)
    if not isinstance(steps, list):
        best = getattr(model, "best_estimator_", None)
        return [model] if best is None else _steps(best)
    return [step for _, step in steps if step is not None and not isinstance(step, str)]


def _back(rows: Array, steps: "Sequence[Any]", width: int) -> "Optional[Array]":
    """Rows before the first step of a pipeline, from rows behind its last; None if a step cannot be undone."""
    for step in reversed(steps):
        undo = getattr(step, "inverse_transform", None)
        try:
            if undo is None:
                return None
            rows = np.asarray(undo(rows), dtype=np.float64)
        except Exception:  # the model's own code
            return None
    return rows if rows.ndim == 2 and rows.shape[1] == width else None


def _trees(model: Any, depth: int = 0) -> "Iterator[Tuple[Array, Array]]":
    """The features and thresholds of each tree."""
    tree = getattr(model, "tree_", None)
    if tree is not None and hasattr(tree, "threshold"):
        inner = np.asarray(tree.children_left) >= 0
        yield np.asarray(tree.feature)[inner], np.asarray(tree.threshold)[inner]
    for predictor in _flat(getattr(model, "_predictors", None)):
        nodes = getattr(predictor, "nodes", None)
        if nodes is not None and nodes.dtype.names and "num_threshold" in nodes.dtype.names:
            inner = nodes["is_leaf"] == 0
            yield nodes["feature_idx"][inner], nodes["num_threshold"][inner]
    if depth < MOST_DEPTH:
        for name in ("estimators_", "estimator_", "calibrated_classifiers_", "estimator"):
            for each in _flat(getattr(model, name, None)):
                yield from _trees(each, depth + 1)


def _flat(value: Any) -> "Iterator[Any]":
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist() if value.dtype == object else []
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _flat(each)
    elif value is not None and not isinstance(value, str):
        yield value


def _thresholds(model: Any) -> "Tuple[Array, Array]":
    found = list(_trees(model))
    if not found:
        return np.empty(0, dtype=np.int64), np.empty(0)
    features = np.concatenate([each for each, _ in found]).astype(np.int64)
    values = np.concatenate([each for _, each in found]).astype(np.float64)
    finite = np.isfinite(values)
    return features[finite], values[finite]


def _points(model: Any, width: int, random: Any) -> "List[Tuple[Array, int]]":
    steps = _steps(model)
    last = steps[-1]
    features, values = _thresholds(last)
    if not len(features):
        return []
    inner = _width(last) or width
    rows = _inner_middle(last, inner, random)
    if rows is None:
        rows = np.zeros((1, inner))
    if len(features) > MOST_POINTS:
        chosen = random.choice(len(features), MOST_POINTS, replace=False)
        features, values = features[chosen], values[chosen]
    points = []
    for feature, value in zip(features, values):
        row = rows[random.randint(len(rows))].copy()
        if feature >= inner:
            continue
        row[feature] = value
        if len(steps) == 1:
            points.append((row, int(feature)))
            continue
        before = _back(row[np.newaxis], steps[:-1], width)
        if before is None:
            return points
        points.append((before[0], int(feature) if inner == width else random.randint(width)))
    return points


def _middle(model: Any, width: int, random: Any) -> "Optional[Array]":
    steps = _steps(model)
    for index in range(len(steps)):
        rows = _inner_middle(steps[index], _width(steps[index]) or width, random)
        if rows is not None:
            before = _back(rows, steps[:index], width)
            if before is not None:
                return before
    return None


def _inner_middle(model: Any, width: int, random: Any, count: int = 300) -> "Optional[Array]":
    """Rows like those that an estimator was trained with, from what it keeps."""
    features, values = _thresholds(model)
    if len(features):
        rows = random.normal(0.0, 1.0, (count, width))
        for feature in np.unique(features):
            if feature < width:
                known = values[features == feature]
                low, high = known.min(), known.max()
                margin = (high - low) * 0.2 or abs(low) * 0.2 or 1.0
                rows[:, feature] = random.uniform(low - margin, high + margin, count)
        return rows
    for name in ("_fit_X", "X_train_", "cluster_centers_", "support_vectors_", "means_"):
        kept = getattr(model, name, None)
        if isinstance(kept, np.ndarray) and kept.ndim == 2 and kept.shape[1] == width and kept.dtype.kind == "f":
            chosen = kept[random.randint(len(kept), size=count)]
            return chosen + random.normal(0.0, 0.1, chosen.shape) * (kept.std(axis=0) + 1e-3) * (
                random.rand(count, 1) < 0.8
            )
    means, scales = getattr(model, "mean_", None), getattr(model, "scale_", None)
    low, high = getattr(model, "data_min_", None), getattr(model, "data_max_", None)
    if _is_row(low, width) and _is_row(high, width):
        return random.uniform(low, high, (count, width))
    if not _is_row(means, width):
        means = next(
            (
                each
                for each in (getattr(model, "center_", None), getattr(model, "statistics_", None))
                if _is_row(each, width)
            ),
            None,
        )
    if _is_row(means, width):
        return np.asarray(means) + random.normal(0.0, 1.0, (count, width)) * (scales if _is_row(scales, width) else 1.0)
    return None


def _is_row(value: Any, width: int) -> bool:
    return (
        isinstance(value, np.ndarray)
        and value.shape == (width,)
        and value.dtype.kind == "f"
        and bool(np.isfinite(value).all())
    )


def _width(model: Any) -> int:
    return int(getattr(model, "n_features_in_", 0) or 0)


def _categories(model: Any, width: int, names: "List[str]", depth: int = 0) -> "Iterator[Tuple[int, Sequence[Any]]]":
    """Known categories with the index of their feature."""
    for step in _steps(model)[:1]:
        known = getattr(step, "categories_", None)
        if isinstance(known, list):
            for index, each in enumerate(known[:width]):
                yield index, list(each)
        transformers = getattr(step, "transformers_", None)
        if isinstance(transformers, list) and depth < MOST_DEPTH:
            for _, inner, columns in transformers:
                places = _places(columns, names, width)
                if not isinstance(inner, str):
                    for index, each in _categories(
                        inner, len(places), [names[place] for place in places] if names else [], depth + 1
                    ):
                        yield places[index], each


def _places(columns: Any, names: "List[str]", width: int) -> "List[int]":
    """The indices of a column transformer's columns."""
    if isinstance(columns, slice):
        return list(range(width))[columns]
    columns = [columns] if isinstance(columns, (str, int)) else list(columns)
    if columns and isinstance(columns[0], (bool, np.bool_)):
        return [index for index, kept in enumerate(columns) if kept]
    return [
        names.index(each) if isinstance(each, str) else int(each)
        for each in columns
        if not isinstance(each, str) or each in names
    ]
