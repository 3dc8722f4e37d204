"""Validations within the deadline of a request: short ones at once, long ones slice by slice in threads of their pipeline."""

import asyncio
import time

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from trivet.domain.pipeline import Validation
from trivet.domain.schema import parse_schema
from trivet.engine.batch import Batch
from trivet.engine.checks.checks import Anomalies, Checks
from trivet.engine.checks.timed import TimedChecks
from trivet.errors import DeadlineExceeded, Overloaded, TooLarge

INPUTS = parse_schema("s: string")
OUTPUTS = parse_schema("n: int64")
COSTLY = pl.col("in.s").str.contains("a[ab]{300}c")


def checks_of(**expressions):
    validations = [
        Validation(name=name, expression=each.meta.serialize(format="json")) for name, each in expressions.items()
    ]
    return Checks(validations, INPUTS, OUTPUTS)


def asked(texts):
    return {"s": pa.array(texts)}, Batch(OUTPUTS, [np.arange(len(texts), dtype=np.int64)], len(texts))


def test_short_validations_are_evaluated_at_once():
    timed = TimedChecks(checks_of(long=pl.col("in.s").str.len_bytes() > 2), timeout_s=60, inline_s=60)
    found = timed.evaluate(*asked(["a", "abc"]), started_ns=time.perf_counter_ns())
    assert isinstance(found, Anomalies)
    assert found.columns["long"].tolist() == [False, True]


def answered(timed, texts):
    async def evaluate():
        return await timed.evaluate(*asked(texts), started_ns=time.perf_counter_ns())

    try:
        return asyncio.run(evaluate())
    finally:
        timed.close()


def test_slices_of_unequal_rows_give_the_same_as_all_rows_at_once():
    checks = checks_of(odd=pl.col("out.n") % 2 == 1, long=pl.col("in.s").str.len_bytes() > 200, costly=COSTLY)
    texts = ["ab" * (n % 7) + "ab" * 300 * (n % 50 == 0) + "c" * (n % 3) for n in range(500)]
    found = answered(TimedChecks(checks, timeout_s=60, inline_s=0, slice_s=0.01), texts)
    whole = checks.evaluate(*asked(texts))
    assert found.count.tolist() == whole.count.tolist()
    assert {name: each.tolist() for name, each in found.columns.items()} == {
        name: each.tolist() for name, each in whole.columns.items()
    }


def test_validations_that_are_late_end_in_an_error_at_the_deadline():
    slices = []

    class Counted(Checks):
        def evaluate(self, inputs, outputs):
            slices.append(outputs.rows)
            return super().evaluate(inputs, outputs)

    validation = Validation(name="costly", expression=COSTLY.meta.serialize(format="json"))
    timed = TimedChecks(Counted([validation], INPUTS, OUTPUTS), timeout_s=0.2, inline_s=0, slice_s=0.02)
    with pytest.raises(DeadlineExceeded) as caught:
        answered(timed, ["ab" * 2000] * 5000)
    assert caught.value.message == "no answer within 0.2 s: the validations were not yet evaluated"
    # The run waits for its threads: this one ended after its slice.
    assert sum(slices) < 5000


def test_a_row_whose_validations_would_take_too_long_is_refused():
    timed = TimedChecks(checks_of(costly=COSTLY), timeout_s=60, inline_s=0, slice_s=0.01, row_s=0.1)
    with pytest.raises(TooLarge) as caught:
        answered(timed, ["a", "ab" * 100_000])
    assert caught.value.message == (
        "a row is too large for the pipeline's validations: it holds 200012 bytes, and the validations could take more "
        "than 0.1 s for it"
    )


def test_requests_beyond_those_that_may_wait_are_refused_at_once():
    timed = TimedChecks(checks_of(costly=COSTLY), timeout_s=60, inline_s=0, max_waiting=1)

    async def evaluate():
        first = asyncio.ensure_future(timed.evaluate(*asked(["ab" * 1000] * 50), started_ns=time.perf_counter_ns()))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            timed.evaluate(*asked(["a"]), started_ns=time.perf_counter_ns())
        return await first

    assert asyncio.run(evaluate()).count.tolist() == [0] * 50
    timed.close()
