"""Rows that are made up to try a model with."""

import asyncio

import pytest

from trivet.domain.schema import parse_schema
from trivet.engine.batch import Batch
from trivet.engine.canned import canned_batch
from trivet.engine.served import Probe
from trivet.errors import ModelFailed

EVERY_TYPE = parse_schema("""
    a: bool; b: int8; c: uint64?; d: float16; e: string; f: large_string?; g: binary; h: binary(3)
    i: date32; j: timestamp[us, UTC]; k: duration[ms]; l: decimal128(2,2); m: float32[2,3]; n: float32[*,2]
    o: struct{p: string, q: int64[2]}[]?; r: float64[large]
""")


@pytest.mark.parametrize("ones", [False, True])
def test_a_row_can_be_made_up_for_every_schema(ones):
    batch = canned_batch(EVERY_TYPE, ones=ones).record_batch()
    batch.validate(full=True)
    assert (batch.num_rows, batch.schema) == (1, EVERY_TYPE)
    row = batch.to_pylist()[0]
    assert None not in row.values()
    assert row["m"] == [[float(ones)] * 3] * 2
    assert row["o"] == [{"p": "2000-01-01" if ones else "", "q": [int(ones)] * 2}]


class Runner:
    """Answers with an error of this reason for each row, until a row has none."""

    input_schema = output_schema = parse_schema("k: int64")
    capacity = 1

    def __init__(self, *reasons: str | None) -> None:
        self.rows: list[int] = []
        self._reasons = list(reasons)

    def predict(self, batch: Batch) -> Batch:
        self.rows.append(batch.record_batch()["k"][0].as_py())
        reason = self._reasons.pop(0)
        if reason is not None:
            raise ModelFailed("no", reason=reason)
        return batch


def warmed_up(runner, **options):
    zeros, ones = (canned_batch(runner.input_schema, ones=ones) for ones in (False, True))
    probe = Probe(runner, zeros, spare=ones, **options)
    refusal = asyncio.run(probe.warm_up())
    return probe, None if refusal is None else refusal.reason


@pytest.mark.parametrize(
    ("reasons", "rows", "told", "shown"),
    [
        ([None], [0], None, "a row of zeros"),
        (["model_error", None], [0, 1], None, "a row of ones"),
        (["model_error"] * 2, [0, 1], "model_error", "a row of zeros"),
        (["model_output_mismatch", None], [0, 1], None, "a row of ones"),
        (["model_output_mismatch", "model_error"], [0, 1], "model_error", "a row of ones"),
        (["model_output_mismatch"] * 2, [0, 1], "model_output_mismatch", "a row of ones"),
    ],
)
def test_zeros_that_come_out_as_something_else_are_followed_by_ones(reasons, rows, told, shown):
    runner = Runner(*reasons)
    probe, refusal = warmed_up(runner, synthetic=True)
    assert (runner.rows, refusal, probe.shown) == (rows, told, shown)
    assert (None if probe.refused is None else probe.refused.reason) == told


def test_readiness_asks_for_the_row_that_was_found():
    runner = Runner("model_output_mismatch", None, None)
    probe, _ = warmed_up(runner, synthetic=True)
    assert asyncio.run(probe.check()) is None
    assert runner.rows == [0, 1, 1]
