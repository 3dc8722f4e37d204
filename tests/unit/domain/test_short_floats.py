"""Numbers of 32 bits as they were written."""

import math

import numpy as np
import pyarrow as pa
import pytest

from trivet.domain.short_floats import with_short_floats

LISTS = pa.list_(pa.float32())
TABLE = pa.table(
    {
        "number": pa.array([0.1, None, math.inf, -0.0], pa.float32()),
        "list": pa.array([[0.1], None, [], [2.5, None]], LISTS),
        "fixed": pa.array([[0.1, 1], None, [3, 4], [5, 6]], pa.list_(pa.float32(), 2)),
        "struct": pa.array([{"q": [0.3]}, None, {"q": None}, {"q": []}], pa.struct([("q", LISTS)])),
        "half": pa.array([0.1] * 4, pa.float16()),
        "double": [0.1, 1 / 3, 1.0, 2.0],
        "text": ["a", "b", "c", "d"],
    }
)
ROWS = [
    {"number": 0.1, "list": [0.1], "fixed": [0.1, 1.0], "struct": {"q": [0.3]}},
    {"number": None, "list": None, "fixed": None, "struct": None},
    {"number": math.inf, "list": [], "fixed": [3.0, 4.0], "struct": {"q": None}},
    {"number": -0.0, "list": [2.5, None], "fixed": [5.0, 6.0], "struct": {"q": []}},
]


@pytest.mark.parametrize(("start", "rows"), [(0, 4), (1, 2), (3, 1), (0, 0)])
def test_numbers_in_all_types_get_their_shortest_digits(start, rows):
    found = with_short_floats(TABLE.slice(start, rows))
    assert found.select(["number", "list", "fixed", "struct"]).to_pylist() == ROWS[start : start + rows]
    assert found["half"].to_pylist() == [0.1] * rows
    assert found.select(["double", "text"]).equals(TABLE.select(["double", "text"]).slice(start, rows))


def test_several_chunks_are_one_column():
    assert with_short_floats(pa.concat_tables([TABLE, TABLE.slice(1)])).select(["number", "list"]).to_pylist() == [
        {"number": row["number"], "list": row["list"]} for row in [*ROWS, *ROWS[1:]]
    ]


def test_every_number_stays_the_same_number_of_32_bits():
    values = np.random.default_rng(1).integers(0, 2**32, 10_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    found = with_short_floats(pa.table({"x": values}))["x"].to_numpy()
    assert np.array_equal(found.astype(np.float32), values, equal_nan=True)


def test_a_table_without_columns_stays_one():
    assert with_short_floats(pa.table({})).num_columns == 0
