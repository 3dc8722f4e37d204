"""`dataset[]`, `dataset.exclude[]` and `dataset.flatten`, in JSON and in Arrow."""

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FILE = "application/vnd.apache.arrow.file"
ROWS = [{"x": [index, 0.5], "k": index, "index": f"i{index}"} for index in range(3)]
METADATA = ["last_model", "pipeline_version", "elapsed", "dropped", "partition"]


@pytest.fixture(scope="module")
def server(serve):
    return serve("x: float32[2]; k: int64")


def names(server, query, *, accept):
    """The keys of each part of an answer, in both forms the same."""
    reply = server.rows(ROWS, query=query, accept=accept)
    assert reply.status == 200, reply.body
    rows = reply.table.to_pylist() if accept else reply.json
    found = [{part: list(value) if isinstance(value, dict) else None for part, value in row.items()} for row in rows]
    assert all(row == found[0] for row in found)
    return found[0] if found else dict.fromkeys(reply.table.schema.names)


CHOICES = {
    "": ["time", "in", "out", "anomaly", "metadata"],
    "dataset[]=*": ["time", "in", "out", "anomaly", "metadata"],
    "dataset[]=out": ["out"],
    "dataset[]=out&dataset[]=time": ["time", "out"],
    "dataset[]=time,out": ["time", "out"],
    "dataset[]=metadata": ["metadata"],
    "dataset.exclude[]=metadata": ["time", "in", "out", "anomaly"],
    "dataset.exclude[]=metadata&dataset.exclude[]=in": ["time", "out", "anomaly"],
    "dataset[]=out&dataset[]=in&dataset.exclude[]=in": ["out"],
    "dataset%5B%5D=out": ["out"],
}


@pytest.mark.parametrize("accept", ["", FILE])
@pytest.mark.parametrize("query", CHOICES)
def test_parts_are_chosen_and_left_out(server, query, accept):
    assert list(names(server, query, accept=accept)) == CHOICES[query]


@pytest.mark.parametrize("accept", ["", FILE])
def test_columns_are_chosen_and_left_out(server, accept):
    def of(query):
        return names(server, query, accept=accept)

    assert of("dataset[]=out.k") == {"out": ["k"]}
    assert of("dataset[]=out.k&dataset[]=in.index") == {"in": ["index"], "out": ["k"]}
    assert of("dataset[]=metadata.elapsed&dataset[]=anomaly") == {"anomaly": ["count"], "metadata": ["elapsed"]}
    assert of("dataset[]=in&dataset.exclude[]=in.x") == {"in": ["k", "index"]}
    assert of("dataset[]=out,in&dataset.exclude[]=out.x,in.k") == {"in": ["x", "index"], "out": ["k"]}
    assert of("dataset[]=anomaly.count") == {"anomaly": ["count"]}
    # A column that is not there is no error: a client asks the same of every model.
    assert of("dataset[]=out.k&dataset[]=in.nothing") == {"out": ["k"]}


@pytest.mark.parametrize("accept", ["", FILE])
def test_flat_answers_have_dotted_names(server, accept):
    flat = list(names(server, "dataset.flatten=true", accept=accept))
    inputs = ["in.x", "in.k", "in.index"]
    assert flat == ["time", *inputs, "out.x", "out.k", "anomaly.count", *(f"metadata.{name}" for name in METADATA)]
    assert list(names(server, "dataset.flatten=true&dataset[]=out.k", accept=accept)) == ["out.k"]


@pytest.mark.parametrize("accept", ["", FILE])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("dataset[]=time&dataset[]=in.nothing", ["time"]),
        ("dataset[]=time,in,out&dataset.exclude[]=in.x,in.k,in.index", ["time", "out.x", "out.k"]),
        ("dataset[]=in.nothing&dataset[]=out.k", ["out.k"]),
        ("dataset[]=in.nothing&dataset[]=in.k&dataset[]=anomaly", ["in.k", "anomaly.count"]),
        ("dataset[]=in.k", ["in.k"]),
    ],
)
def test_flat_answers_stay_whole_when_no_input_is_left(server, query, expected, accept):
    assert list(names(server, query + "&dataset.flatten=true", accept=accept)) == expected


def test_names_are_percent_decoded(serve):
    name = "größe & co [1].a"
    server = serve(f'"{name}": int64; k: int8')
    query = f"dataset%5B%5D={quote('out.' + name, safe='')}&dataset.flatten=1"
    for accept in ("", FILE):
        reply = server.rows([{name: 7, "k": 1}], query=query, accept=accept)
        rows = reply.table.to_pylist() if accept else reply.json
        assert rows == [{f"out.{name}": 7}]


@pytest.mark.parametrize(
    ("query", "said", "remedy"),
    [
        ("dataset[]=outs", "unknown dataset 'outs'", "use *, time, in, out, anomaly, metadata"),
        ("dataset[]=outs.k", "unknown dataset 'outs.k'", "use *"),
        ("dataset[]=", "unknown dataset ''", "use *"),
        ("dataset.exclude[]=no", "unknown dataset 'no'", "use *"),
        ("dataset.flatten=perhaps", "dataset.flatten is 'perhaps'", "send true or false"),
        ("datasets[]=out", "unknown query parameter 'datasets[]'", "use dataset[], dataset.exclude[]"),
        ("dataset[]=out.kk", "the answer has no column 'out.kk'", "did you mean out.k?"),
        ("dataset[]=anomaly.fraud", "the answer has no column 'anomaly.fraud'", "did you mean anomaly.count?"),
        ("dataset[]=%ff", "the query string cannot be read", None),
        ("&".join(["dataset[]=out"] * 2000), "the query string cannot be read", None),
    ],
)
def test_a_wrong_choice_is_refused(server, query, said, remedy):
    reply = server.rows(ROWS, query=query)
    assert reply.status == 400
    assert said in reply.json["error"]
    assert remedy is None or reply.json["fix"].startswith(remedy)


parts = st.sampled_from(
    [
        "*",
        "time",
        "in",
        "out",
        "anomaly",
        "metadata",
        "in.x",
        "in.index",
        "in.no",
        "out.k",
        "out.no",
        "metadata.elapsed",
    ]
)


@settings(max_examples=150)
@given(wanted=st.lists(parts, max_size=4), unwanted=st.lists(parts, max_size=4), flat=st.booleans())
def test_any_choice_gives_the_same_columns_in_json_and_arrow(server, wanted, unwanted, flat):
    query = "&".join(
        [f"dataset[]={name}" for name in wanted]
        + [f"dataset.exclude[]={name}" for name in unwanted]
        + ["dataset.flatten=true"] * flat
    )
    in_json = server.rows(ROWS, query=query)
    in_arrow = server.rows(ROWS, query=query, accept=FILE)
    # What a request sends may have any name; what is answered is known.
    status = 400 if "out.no" in wanted else 200
    assert (in_json.status, in_arrow.status) == (status, status)
    if status != 200:
        return
    columns = list(in_json.json[0])
    table = in_arrow.table
    assert table.schema.names == columns
    for part in columns:
        if not flat and part != "time":
            assert [field.name for field in table.schema.field(part).type] == list(in_json.json[0][part])
