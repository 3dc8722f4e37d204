"""The reference's pre-processing step for house prices, its code and schemas unchanged and no requirements.txt with it."""

import datetime
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

FEATURES = [
    "bedrooms", "bathrooms", "sqft_living", "sqft_lot", "floors", "waterfront", "view", "condition", "grade",
    "sqft_above", "sqft_basement", "lat", "long", "sqft_living15", "sqft_lot15", "house_age", "renovated",
    "yrs_since_reno",
]  # fmt: skip


@pytest.fixture(scope="module")
def code(document):
    return document.excerpt("import datetime\nimport logging", "input_df.to_numpy(dtype=np.float32)}")


@pytest.fixture(scope="module")
def input_schema(document):
    """Read off the document: twenty-two fields, each `pa.field('name', pa.kind())`."""
    text = document.excerpt("input_schema = pa.schema([\n    pa.field('id', pa.int64())", "\n])")
    return pa.schema([(name, getattr(pa, kind)()) for name, kind in re.findall(r"'(\w+)', pa\.(\w+)\(\)", text)])


@pytest.fixture(scope="module")
def houses(input_schema):
    """Rows of every sort: new, old, renovated or not, as the schema's types."""
    random = np.random.default_rng(3)
    count = 40
    columns = {}
    for field in input_schema:
        if field.type == pa.string():
            columns[field.name] = [f"2014-{month:02d}-13" for month in random.integers(1, 13, count)]
        elif pa.types.is_integer(field.type):
            columns[field.name] = random.integers(0, 9000, count)
        else:
            columns[field.name] = random.uniform(-130, 1_000_000, count).round(4)
    columns["yr_built"] = random.integers(1900, 2015, count)
    columns["yr_renovated"] = np.where(
        random.random(count) < 0.4, columns["yr_built"] + random.integers(1, 60, count), 0
    )
    return pd.DataFrame(columns)


def features(houses, *, year):
    """What the step is to answer, computed with pandas here: float32[rows, 18]."""
    renovated = houses["yr_renovated"] > 0
    made = houses.assign(
        house_age=year - houses["yr_built"],
        renovated=renovated.astype("int64"),
        yrs_since_reno=(houses["yr_renovated"] - houses["yr_built"]).where(renovated, 0),
    )
    return made[FEATURES].to_numpy(dtype=np.float32)


@pytest.fixture(scope="module", params=[None, "3.8"], ids=["default Python", "Python 3.8"])
def service(request, code, input_schema, *, served, write_schema, write_zip, interpreter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("step")
    package = write_zip(folder / "preprocess_step.zip", top="preprocess-step", files={"sample-script.py": code})
    output_schema = pa.schema([pa.field("tensor", pa.list_(pa.float32(), list_size=18))])
    flags = [
        "--input-schema", write_schema(folder / "input.arrow", input_schema),
        "--output-schema", write_schema(folder / "output.arrow", output_schema),
    ]  # fmt: skip
    if request.param:
        interpreter(request.param)
        flags += ["--python", request.param]
    with served(package, *flags) as running:
        assert f"Python {request.param or ''}" in running.stderr
        yield running


def test_the_code_and_the_schema_are_the_references_own(code, input_schema):
    # An import that the step makes no use of, and that no environment holds.
    assert "import wallaroo\n" in code
    assert len(input_schema) == 22
    assert input_schema.names[0] == "id"
    assert input_schema.field("date").type == pa.string()


def assert_features(answer, houses, years):
    """The step asks the clock for the year, which may turn while it does."""
    # JSON says the shortest decimals that are the same float32.
    got = np.array(answer, dtype=np.float32)
    assert any(np.array_equal(got, features(houses, year=year)) for year in years)


def test_a_data_frame_gives_what_pandas_gives(service, houses):
    before = datetime.datetime.now().astimezone().year
    answer = service.records(houses.to_dict("records"))
    after = datetime.datetime.now().astimezone().year
    assert_features([row["out"]["tensor"] for row in answer], houses, {before, after})


def test_a_table_gives_what_pandas_gives(service, houses, input_schema, rows_of):
    before = datetime.datetime.now().astimezone().year
    answer = service.table(pa.Table.from_pandas(houses, schema=input_schema, preserve_index=False))
    after = datetime.datetime.now().astimezone().year
    assert_features(rows_of(answer, "tensor"), houses, {before, after})
    kind = answer.schema.field("out").type.field("tensor").type
    assert kind.value_type == pa.float32()


def test_each_house_alone_gives_what_all_give_together(service, houses):
    years = {datetime.datetime.now().astimezone().year}
    some = houses.head(3)
    alone = [service.records([row])[0]["out"]["tensor"] for row in some.to_dict("records")]
    assert_features(alone, some, years | {datetime.datetime.now().astimezone().year})
