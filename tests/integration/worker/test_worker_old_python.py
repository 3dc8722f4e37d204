"""A worker on Python 3.8 with the libraries of its time, under a platform of today."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from trivet.domain.environment import EnvironmentSpec
from trivet.engine.calls import Raw
from trivet.engine.limits import EngineLimits
from trivet.engine.pool import WorkerPool
from trivet.envs import EnvironmentStore
from trivet_worker.tensors import to_arrow

SHOUT = """
from trivet_worker.raw import RawAnswer

class Shout:
    def predict(self, columns):
        return columns

    def answer(self, request):
        return RawAnswer(200, request.content_type, iter([request.body.upper(), b"!"]))

def load(package, stage):
    return Shout()
"""
REQUIREMENTS = ("numpy==1.24.4", "pyarrow==17.0.0")


@pytest.fixture(scope="session")
def old_python(shared_home, interpreter) -> Path:
    """Python 3.8 with numpy and pyarrow of its time, built once for all runs."""
    interpreter("3.8")
    store = EnvironmentStore(shared_home / "envs", environ=os.environ, worker_requirements=REQUIREMENTS)
    return store.ensure(EnvironmentSpec(requirements=(), python="3.8")).python


@pytest.fixture
def old_stand(stand, old_python):
    return replace(stand, python=old_python)


def test_a_custom_model_runs_on_python_3_8(old_stand, row):
    spec = old_stand.custom(
        predict="assert sys.version_info[:2] == (3, 8)\nreturn {'y': input_data['x'].sum(axis=1) * self.model}"
    )

    def use(link):
        assert link.send(row)[0] == {"y": [12.0]}
        assert link.send(row * 1000)[0] == {"y": [12.0] * 1000}

    old_stand.run(spec, use)


def test_every_kind_of_column_comes_through_python_3_8(old_stand):
    schema = pa.schema(
        [
            pa.field("image", pa.list_(pa.list_(pa.int64(), 3), 2)),
            pa.field("text", pa.string()),
            pa.field("words", pa.list_(pa.string())),
            pa.field("ragged", pa.list_(pa.float32())),
            pa.field("flag", pa.bool_()),
            pa.field("at", pa.timestamp("ms")),
            pa.field("pair", pa.struct([("a", pa.int8()), ("b", pa.list_(pa.float64(), 2))])),
            pa.field("maybe", pa.int32()),
        ]
    )
    rows = [
        {
            "image": [[1, 2, 3], [4, 5, 6]],
            "text": "é",
            "words": ["a", "b"],
            "ragged": [1.5],
            "flag": True,
            "maybe": None,
        },
        {"image": [[7, 8, 9], [0, 0, 0]], "text": None, "words": [], "ragged": [], "flag": False, "maybe": 3},
    ]
    batch = pa.RecordBatch.from_pylist(
        [row | {"at": 1_700_000_000_000, "pair": {"a": 1, "b": [0.5, 1.5]}} for row in rows], schema=schema
    )
    spec = replace(old_stand.custom(predict="return dict(input_data)"), input_schema=schema, output_schema=schema)

    def use(link):
        for sent in (batch, batch.slice(0, 1), batch.slice(1, 1)):  # several rows of lists are ragged, one is not
            data, metadata = link.send(*sent.columns)
            assert data == sent.to_pydict(), metadata

    old_stand.run(spec, use)


def test_errors_on_python_3_8_are_reported(old_stand, row):
    spec = old_stand.custom(predict="return {'y': np.array(['text'])}")

    def use(link):
        error = link.send(row)[1]["error"]
        assert error["message"] == "field 'y': expected 1 row of float32, got <U4 of shape (1,)"

    old_stand.run(spec, use)


def test_images_are_the_same_on_both_sides(old_stand):
    images = np.random.default_rng(1).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    schema = pa.schema([("x", pa.list_(pa.list_(pa.list_(pa.uint8(), 3), 8), 8))])
    spec = replace(
        old_stand.custom(predict="return {'x': input_data['x'][:, ::-1]}"), input_schema=schema, output_schema=schema
    )

    def use(link):
        answer = link.send(to_arrow(images, schema.field(0)))[0]
        np.testing.assert_array_equal(np.array(answer["x"], np.uint8), images[:, ::-1])

    old_stand.run(spec, use)


def test_a_raw_request_is_answered_on_python_3_8(old_stand):
    root = old_stand.package({"shout.py": SHOUT})
    spec = replace(old_stand.spec(root, entry={}), adapter="shout:load")

    async def main():
        worker = await old_stand.launcher.start(spec)
        pool = WorkerPool(
            input_schema=spec.input_schema, output_schema=spec.output_schema, batching="joined", limits=EngineLimits()
        )
        pool.attach(worker)
        try:
            for body in (b"a", b"", b"b" * 10_000_000):
                answer = await pool.answer(Raw(content_type="text/plain", path="/shout", body=body))
                assert (answer.status, await answer.body()) == (200, body.upper() + b"!")
        finally:
            await pool.close()
            await worker.stop(5)

    asyncio.run(main())
