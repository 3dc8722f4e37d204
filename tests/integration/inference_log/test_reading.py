"""What can be read, while it is written too: every value, at the edges of files, and of one pipeline only."""

import json
import math
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trivet.control.use_cases.logs import records_of
from trivet.inference_log import read_logs

STREAM = "application/vnd.apache.arrow.stream"


def walk(here: Any, **asked: Any) -> list[Any]:
    """A log's pages, one after another, until there is no other."""
    pages = []
    cursor = None
    while True:
        page = here.logs(flush=False, cursor=cursor, **asked)
        pages.append(page)
        cursor = page.cursor
        if cursor is None:
            return pages


def test_reading_while_it_is_written_gives_what_was_flushed_and_no_gap(
    gateway: Callable[..., Any], routes: Any, wait_until: Callable[..., Any]
) -> None:
    here = gateway(inference_log_mib=4).start(routes(kind="string"))
    rows = 100
    padding = "é" * 50
    stop = threading.Event()
    answered = 0

    def client() -> None:
        nonlocal answered
        connection = here.connect()
        while not stop.is_set() and answered < 60_000:
            here.ask(
                [{"x": f"{number:09d}{padding}"} for number in range(answered, answered + rows)], connection=connection
            )
            answered += rows
        connection.close()

    thread = threading.Thread(target=client)
    thread.start()
    try:
        wait_until(lambda: answered, "nothing is answered")
        while thread.is_alive():
            known = answered
            found = [int(text[:9]) for text in here.values()]
            assert found == list(range(len(found)))
            assert len(found) >= known
            newest = [int(text[:9]) for text in here.values(limit=10, order="Desc")]
            assert newest == list(range(newest[0], newest[0] - 10, -1))
            assert newest[0] >= len(found) - 1
            # Pages go on where the one before ended, whatever has been written since.
            pages = walk(here, limit=1234, order="Desc")
            joined = [int(text[:9]) for page in pages for text in page.table["in.x"].to_pylist()]
            assert joined == list(range(joined[0], -1, -1))
    finally:
        stop.set()
        thread.join()
    assert list(here.folder().glob("*.parquet"))


@pytest.fixture
def in_files(gateway: Callable[..., Any], routes: Any) -> Any:
    """A gateway whose log lies in several files of 300 rows, each row with a number."""
    here = gateway().start(routes())
    for file in range(4):
        connection = here.connect()
        for request in range(30):
            here.ask([{"x": file * 300 + request * 10 + row} for row in range(10)], connection=connection)
        connection.close()
        here.flush()
        if file < 3:
            here.end(signal.SIGKILL)
            here.start()
    assert sorted(path.suffix for path in here.folder().iterdir()) == [".arrows", *[".parquet"] * 3]
    return here


def test_a_limit_counts_to_the_row_at_the_edges_of_files(in_files: Any) -> None:
    for limit in (1, 9, 10, 11, 299, 300, 301, 599, 600, 601, 1199, 1200, 1201):
        newest = in_files.logs(limit=limit)
        kept = min(limit, 1200)
        assert newest.table["in.x"].to_pylist() == list(range(1199, 1199 - kept, -1))
        assert newest.status == ("RecordLimited" if limit < 1200 else "All")
        assert in_files.values(limit=limit) == list(range(kept))


def test_pages_meet_at_the_edges_of_files(in_files: Any) -> None:
    for limit, order in product((3, 10, 299, 300, 301, 1200), ("Asc", "Desc")):
        pages = walk(in_files, limit=limit, order=order)
        found = [value for page in pages for value in page.table["in.x"].to_pylist()]
        assert found == (list(range(1200)) if order == "Asc" else list(range(1199, -1, -1)))
        assert {page.status for page in pages[:-1]} <= {"RecordLimited"}


def test_two_moments_include_both_ends_at_the_edges_of_files(in_files: Any) -> None:
    table = in_files.logs(order="Asc").table
    times = [each.replace(tzinfo=UTC) for each in table["time"].to_pylist()]
    for first, last in [(0, 299), (300, 599), (290, 309), (0, 1199), (600, 600), (1199, 1199), (899, 900)]:
        asked = in_files.logs(start=times[first], end=times[last])
        expected = [row for row in range(1200) if times[first] <= times[row] <= times[last]]
        assert asked.table["in.x"].to_pylist() == expected
        assert asked.status == "All"
        newest = in_files.logs(start=times[first], end=times[last], order="Desc", limit=5)
        assert newest.table["in.x"].to_pylist() == expected[::-1][:5]
    # In another zone it is the same moment.
    zone = times[300].astimezone(timezone(timedelta(hours=-7)))
    assert in_files.logs(start=zone, end=zone).table["in.x"].to_pylist()[0] <= 300
    before, after = times[0] - timedelta(days=1), times[-1] + timedelta(days=1)
    assert in_files.logs(start=before, end=times[0] - timedelta(milliseconds=1)).table.num_rows == 0
    assert in_files.logs(start=times[-1] + timedelta(milliseconds=1), end=after).table.num_rows == 0
    assert in_files.logs(start=before, end=after).table.num_rows == 1200


def test_parts_can_be_chosen_across_files(in_files: Any) -> None:
    for dataset, columns in [
        (["out"], ["out.y"]),
        (["time", "out.y"], ["time", "out.y"]),
        (["*"], ["time", "in.x", "out.y", "anomaly.count"]),
        (["in.x", "metadata.partition"], ["in.x", "metadata.partition"]),
        (["in.unknown"], []),
    ]:
        table = in_files.logs(limit=700, dataset=dataset).table
        assert table.column_names == columns
    table = in_files.logs(dataset=["metadata", "in"], order="Asc").table
    # Each file was written by a process of its own.
    assert len(set(table["metadata.partition"].to_pylist())) == 4
    assert set(table["metadata.pipeline_version"].to_pylist()) == {"of int64-None-1-x-y"}
    assert json.loads(table["metadata.last_model"][0].as_py()).keys() == {"model_name", "model_sha"}
    assert all(len(each) == 2 and min(each) >= 0 for each in table["metadata.elapsed"].to_pylist())


def test_texts_come_back_as_they_were_sent(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway().start(routes(kind="string"))
    texts = ["", "Grüße", "日本語", "😀\u200d🔥", 'a\nb\t"c"\\', "\u0000", "x" * 100_000, "{}", "null", "é\u0301"]
    for text in texts:
        here.ask([{"x": text}])
    here.ask([{"x": text} for text in texts])
    assert here.values("in.x") == texts * 2
    assert here.values("out.y") == texts * 2


def test_nan_and_infinities_come_back(gateway: Callable[..., Any], routes: Any, arrow_stream: Any) -> None:
    here = gateway().start(routes(kind="float32", width=3))
    sent = [[math.nan, math.inf, -math.inf], [1.5, -0.0, 3.4e38]]
    column = pa.array(sent, pa.list_(pa.float32(), 3))
    here.ask(arrow_stream(pa.record_batch({"x": column})), content_type=STREAM)
    here.ask([{"x": [0.1, 0.2, 0.3]}])
    for name in ("in.x", "out.y"):
        found = here.values(name)
        np.testing.assert_array_equal(np.float32(found), np.float32([*sent, [0.1, 0.2, 0.3]]))
    assert here.values("anomaly.count") == [0, 0, 0]


def test_very_wide_rows_come_back(gateway: Callable[..., Any], routes: Any, arrow_stream: Any) -> None:
    width = 500_000
    here = gateway(inference_log_mib=64).start(routes(kind="float32", width=width))
    for number in range(6):
        column = pa.FixedSizeListArray.from_arrays(pa.array(np.full(width, number, np.float32)), width)
        column = column.cast(pa.list_(pa.float32(), width))
        here.ask(
            arrow_stream(pa.record_batch({"x": column})),
            path="/pipelines/p/infer?dataset[]=time",
            content_type=STREAM,
        )
    here.flush()
    table = here.logs(order="Asc").table
    assert table.num_rows == 6
    assert [row[-1].as_py() for row in table["out.y"]] == list(range(6))
    # A page of two rows at most.
    page = here.logs(max_bytes=9 * 2**20)
    assert (page.table.num_rows, page.status) == (2, "ByteLimited")
    assert here.dropped() == 0


def test_nulls_and_columns_beyond_the_models_own_come_back(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway().start(routes())
    here.ask([{"x": 1, "note": "ö", "number": 1}, {"x": 2, "note": None, "number": 2}])
    page = here.logs(order="Asc")
    assert page.table["in.note"].to_pylist() == ["ö", None]
    assert page.table["in.x"].to_pylist() == [1, 2]
    # The order in which they are sent makes no other schema.
    here.ask([{"number": 3, "note": "n", "x": 3}])
    page = here.logs(order="Asc")
    assert (page.status, page.table.num_rows) == ("All", 3)
    # A column that mixes types is kept as it was written.
    here.ask([{"x": 4, "note": 1}, {"x": 5, "note": "a"}, {"x": 6, "note": {"b": [1, None]}}])
    assert here.logs(limit=3, order="Desc").table["in.note"].to_pylist() == ['{"b": [1, null]}', '"a"', "1"]


def test_many_kinds_of_requests_in_turn_make_no_file_for_each(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway().start(routes())
    connection = here.connect()
    for number in range(200):
        more = {f"optional{bit}": "given" for bit in range(3) if number >> bit & 1}
        here.ask([{"x": number, **more}], connection=connection)
    connection.close()
    here.flush()
    found = [value for page in walk(here, order="Asc") for value in page.table["in.x"].to_pylist()]
    assert found == list(range(200))
    assert len(list(here.folder().iterdir())) == 8


def test_ever_new_columns_make_no_file_for_each_and_are_named(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway().start(routes())
    connection = here.connect()
    for number in range(300):
        here.ask([{"x": number, f"new{number:03d}{'n' * 100}": 1}], connection=connection)
    # Known shapes are still kept whole.
    here.ask([{"x": 300, f"new000{'n' * 100}": 1}], connection=connection)
    here.ask([{"x": 301}], connection=connection)
    connection.close()
    here.flush()
    pages = list(walk(here, order="Asc", dataset=("in", "metadata")))
    assert [value for page in pages for value in page.table["in.x"].to_pylist()] == list(range(302))
    assert len(list(here.folder().iterdir())) == 18
    dropped = [names for page in pages for names in page.table["metadata.dropped"].to_pylist()]
    assert dropped == [[]] * 16 + [[f"new{number:03d}{'n' * 58}"] for number in range(16, 300)] + [[], []]
    # Rows without columns of their own are one page, whether something was dropped or not.
    assert here.logs(limit=1).table.column_names == ["time", "in.x", "out.y", "anomaly.count"]
    assert here.end(signal.SIGTERM) == 0
    assert read_logs(here.folder(), limit=1).table["in.x"].to_pylist() == [301]


DAY = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - Arrow keeps some without a zone


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("dictionary", pa.array(["a", None, "a"]).dictionary_encode()),
        ("null", pa.nulls(3)),
        ("decimal", pa.array([1, None, 2], pa.decimal128(20, 3))),
        ("moments", pa.array([DAY, None, DAY], pa.timestamp("ns", "Europe/Berlin"))),
        ("durations", pa.array([timedelta(seconds=3), None, timedelta(0)], pa.duration("us"))),
        ("half", pa.array(np.float16([1.0, 2.5, np.nan]))),
        ("map", pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64()))),
        ("struct", pa.array([{"a": 1, "b": [None]}, None, {"a": None, "b": []}])),
        ("empty struct", pa.array([{}, {}, {}], pa.struct([]))),
        ("large", pa.array(["ä", None, ""], pa.large_string())),
        ("views", pa.array(["ä" * 20, None, ""], pa.string_view())),
        ("bytes", pa.array([b"\x00\xff", None, b""])),
        ("intervals", pa.array([pa.MonthDayNano([1, 2, 3]), None, pa.MonthDayNano([0, 0, 0])])),
        ("runs", pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", "b"]))),
        ("union", pa.UnionArray.from_sparse(pa.array([0, 1, 0], pa.int8()), [pa.array([1, 2, 3]), pa.array("abc")])),
    ],
)
def test_extra_columns_of_every_kind_leave_a_readable_log(
    gateway: Callable[..., Any], routes: Any, arrow_stream: Any, name: str, column: pa.Array
) -> None:
    here = gateway().start(routes())
    connection = here.connect()
    body = arrow_stream(pa.record_batch({"x": pa.array([1, 2, 3]), name: column}))
    connection.request("POST", "/pipelines/p/infer", body=body, headers={"Content-Type": STREAM})
    reply = connection.getresponse()
    said = reply.read()
    connection.close()
    assert reply.status in {200, 400, 422}, said
    if reply.status == 200:
        here.ask(body, content_type=STREAM)
        kept = here.logs(order="Asc").table
        assert kept.num_rows + here.dropped() == 6
        records_of(kept)
        here.end(signal.SIGKILL)
        here.start()
        here.flush()
        again = here.logs(order="Asc").table
        assert again.num_rows == kept.num_rows
        if kept.num_rows:
            assert str(again[f"in.{name}"].to_pylist()) == str(kept[f"in.{name}"].to_pylist())
    here.ask([{"x": 9}])
    assert here.logs(limit=1).table["in.x"].to_pylist() == [9]


def test_a_version_with_other_columns_ends_a_page_and_starts_the_next(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway().start(routes())
    here.ask([{"x": 1}, {"x": 2}])
    here.serve(routes(takes="a", gives="b"))
    here.ask([{"a": 3}, {"a": 4}])
    here.serve(routes(factor=2))
    here.ask([{"x": 5}])
    here.flush()
    pages = walk(here, order="Desc", limit=100)
    assert [page.status for page in pages] == ["SchemaChange", "SchemaChange", "All"]
    assert [page.table.column_names[1:3] for page in pages] == [["in.x", "out.y"], ["in.a", "out.b"], ["in.x", "out.y"]]
    assert [page.table.column(1).to_pylist() for page in pages] == [[5], [4, 3], [2, 1]]
    assert pages[0].table["out.y"].to_pylist() == [10]
    # In order of time it is the same from the other end.
    pages = walk(here, order="Asc", limit=100)
    assert [page.table.column(1).to_pylist() for page in pages] == [[1, 2], [3, 4], [5]]


def test_two_versions_with_the_same_columns_are_one_log(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway().start(routes())
    here.ask([{"x": 1}])
    here.serve(routes(factor=3))
    here.ask([{"x": 2}])
    page = here.logs(dataset=["out", "metadata.pipeline_version"], order="Asc")
    assert page.status == "All"
    assert page.table["out.y"].to_pylist() == [1, 6]
    assert page.table["metadata.pipeline_version"].to_pylist() == ["of int64-None-1-x-y", "of int64-None-3-x-y"]


def test_pipelines_do_not_mix_though_they_have_one_name_and_one_model(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway().start(
        routes(pipeline="p", deployment_id=1, workspace_id=1),
        routes(pipeline="q", deployment_id=2, workspace_id=1),
        routes(pipeline="r", deployment_id=3, workspace_id=2),
    )

    def client(path: str, first: int) -> None:
        connection = here.connect()
        for number in range(first, first + 300):
            here.ask([{"x": number}], path=path, connection=connection)
        connection.close()

    threads = [
        threading.Thread(target=client, args=(f"/pipelines/{name}/infer", first))
        for name, first in (("p", 0), ("q", 1000), ("r", 2000))
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert here.values() == list(range(300))
    assert here.values(deployment_id=2) == list(range(1000, 1300))
    assert here.values(deployment_id=3, workspace_id=2) == list(range(2000, 2300))
    # One stops being served: the others go on, and its log stays.
    here.serve(routes(pipeline="p"))
    here.ask([{"x": -1}])
    assert here.values()[-1] == -1
    assert len(here.values(deployment_id=2)) == 300
    # It is served again under what it was: its log goes on.
    here.serve(routes(pipeline="p"), routes(pipeline="q", deployment_id=2, factor=2))
    here.ask([{"x": 7}], path="/pipelines/q/infer")
    assert here.values("out.y", deployment_id=2)[-2:] == [1299, 14]


def test_a_pipeline_that_keeps_no_log_has_none(gateway: Callable[..., Any], routes: Any) -> None:
    here = gateway().start(routes(log_inferences=False))
    here.ask([{"x": 1}])
    here.flush()
    assert not here.folder().exists()
    off = here.logs()
    assert (off.table.num_rows, off.status) == (0, "All")
