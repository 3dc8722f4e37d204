"""The rows that a conversion is proved with: from the model, and from what conversions are known to get wrong."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trivet.domain.schema import parse_schema
from trivet_worker.converting.knowledge import has_trees
from trivet_worker.converting.liars import known_liar
from trivet_worker.converting.rows import KIND, proof_rows


def tree(features: list[int], thresholds: list[float]) -> SimpleNamespace:
    """A tree of inner nodes, and a leaf behind them."""
    return SimpleNamespace(
        children_left=np.array([1] * len(features) + [-1]),
        feature=np.array([*features, -2]),
        threshold=np.array([*thresholds, -2.0]),
    )


def made(model: Any, schema: str, *names: str, width: int) -> pa.Table:
    return proof_rows(model, list(parse_schema(schema)), names, width)


def of_kind(table: pa.Table, kind: str) -> np.ndarray:
    column = table.filter(pa.compute.equal(table[KIND], kind)).column(0).combine_chunks()
    return np.array(column.to_pylist())


def test_rows_have_each_threshold_and_its_neighbours_on_both_sides() -> None:
    forest = SimpleNamespace(
        estimators_=[SimpleNamespace(tree_=tree([1], [0.1])), SimpleNamespace(tree_=tree([0], [7.5]))]
    )
    table = made(forest, "inputs: float64[2]", width=2)
    near = of_kind(table, "threshold")
    assert len(near) == 12
    narrow = float(np.float32(0.1))
    for value in (
        0.1,
        np.nextafter(0.1, 1.0),
        np.nextafter(0.1, 0.0),
        narrow,
        float(np.nextafter(np.float32(0.1), np.float32(1))),
        float(np.nextafter(np.float32(0.1), np.float32(0))),
    ):
        assert value in near[:6, 1]
    assert 7.5 in near[6:, 0]


def test_trees_are_found_alone_in_forests_and_in_pipelines() -> None:
    stump = SimpleNamespace(tree_=tree([0], [0.5]))
    forest = SimpleNamespace(estimators_=[stump])
    pipeline = SimpleNamespace(steps=[("scale", SimpleNamespace()), ("forest", forest)])
    assert [has_trees(each) for each in (stump, forest, pipeline, SimpleNamespace())] == [True, True, True, False]


def test_the_middle_lies_around_the_thresholds() -> None:
    table = made(SimpleNamespace(tree_=tree([0, 0], [1000.0, 2000.0])), "inputs: float64[1]", width=1)
    middle = of_kind(table, "middle")[:, 0]
    assert ((middle > 700) & (middle < 2300)).sum() > len(middle) / 2


def test_thresholds_behind_a_scaler_are_taken_back_to_the_input() -> None:
    scaler = SimpleNamespace(inverse_transform=lambda rows: rows * 10.0 + 5.0)
    steps = [("scale", scaler), ("tree", SimpleNamespace(tree_=tree([0], [0.5]), n_features_in_=1))]
    near = of_kind(made(SimpleNamespace(steps=steps), "inputs: float64[1]", width=1), "threshold")
    assert 10.0 in near[:, 0]


def test_rows_have_missing_and_odd_numbers_in_each_column_and_in_all() -> None:
    table = made(SimpleNamespace(), "inputs: float64[3]", width=3)
    missing = np.isnan(of_kind(table, "missing"))
    assert {(False, False, True), (False, True, False), (True, False, False), (True, True, True)} <= set(
        map(tuple, missing.tolist())
    )
    assert (missing.sum(axis=0) > 100).all()
    edges = of_kind(table, "edge")
    assert any(np.signbit(edges[edges == 0.0]))
    assert (np.abs(edges[edges != 0.0]).min(), 1e-40 in edges) == (1e-310, True)
    assert {np.inf, -np.inf, 1e100, 3.5e38} <= set(of_kind(table, "extreme").ravel().tolist())
    assert table.num_rows > 2000


def test_text_columns_get_known_unknown_and_hard_words() -> None:
    encoder = SimpleNamespace(categories_=[np.array(["Bern", "Köln"], object), np.array([1.0, 2.0])])
    table = made(encoder, "city: string; size: float64", width=2)
    words = of_kind(table, "text")
    assert {"Bern", "Köln", "", "unknown", "é", "İ", "ß", "\U0001f600", "漢字", "a" * 10_000, "BERN"} <= set(words)
    sizes = table.filter(pa.compute.equal(table[KIND], "middle"))["size"].to_pylist()
    assert set(sizes) == {1.0, 2.0}


def test_categories_of_a_column_transformer_go_to_their_columns() -> None:
    encoder = SimpleNamespace(categories_=[np.array(["b1", "b2"], object)])
    model = SimpleNamespace(transformers_=[("one", encoder, ["b"]), ("rest", "drop", [0])])
    table = made(model, "b: string; a: string", "a", "b", width=2)
    middle = table.filter(pa.compute.equal(table[KIND], "middle"))
    assert set(middle["b"].to_pylist()) == {"b1", "b2"}
    assert table.schema.names == ["b", "a", KIND]


def test_rows_that_an_integer_cannot_hold_are_left_out() -> None:
    table = made(SimpleNamespace(), "a: int32; b: float32", width=2)
    assert table.schema.field("a").type == pa.int32()
    assert np.isnan(table["b"].to_numpy()).any()
    assert abs(table["a"].to_numpy().astype(np.int64)).max() <= 2**31


def test_the_same_model_gets_the_same_rows() -> None:
    first, second = (made(SimpleNamespace(), "inputs: float32[4]", width=4) for _ in range(2))
    assert first.equals(second) or str(first) == str(second)


def estimator(name: str, **attributes: Any) -> Any:
    return type(name, (), {"get_params": lambda self: {}})() if not attributes else _with(name, attributes)


def _with(name: str, attributes: dict[str, Any]) -> Any:
    found = type(name, (), {"get_params": lambda self: {}})()
    vars(found).update(attributes)
    return found


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (estimator("HistGradientBoostingRegressor"), "its thresholds become other numbers"),
        (estimator("SimpleImputer", add_indicator=True), "its last columns are lost"),
        (estimator("Pipeline", steps=[("text", estimator("TfidfVectorizer"))]), "text that is not ASCII"),
    ],
    ids=["boosting", "imputer", "text in a pipeline"],
)
def test_known_liars_are_found_inside_a_model(model: Any, says: str) -> None:
    assert says in (known_liar("sklearn", model, "1.20.0") or "")


def test_other_models_options_and_releases_are_tried() -> None:
    assert known_liar("sklearn", estimator("SimpleImputer", add_indicator=False), "1.20.0") is None
    assert known_liar("sklearn", estimator("LinearRegression"), "1.20.0") is None
    assert known_liar("sklearn", estimator("TfidfVectorizer"), "9.0.0") is None
