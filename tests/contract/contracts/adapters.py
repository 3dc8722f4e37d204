"""What every adapter keeps, on a real worker. A framework has one subclass of `AdapterContract`, in `tests/contract/test_adapters.py`."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import pyarrow as pa
import pytest

from trivet.domain.digest import digest_of_bytes
from trivet.domain.environment import EnvironmentSpec
from trivet.domain.frameworks import FRAMEWORKS, Framework
from trivet.domain.onnx_calls import OnnxCalls
from trivet.domain.package import ModelSettings
from trivet.engine.batch import Batch
from trivet.engine.limits import EngineLimits
from trivet.engine.pool import WorkerPool
from trivet.engine.served import predict
from trivet.envs import EnvironmentStore
from trivet.errors import BadPackage, ModelFailed
from trivet.packaging import open_package
from trivet.workers import ProcessLauncher, WorkerFiles, WorkerSpec
from trivet_worker.adapters import ADAPTERS

INPUTS = pa.schema([pa.field("x", pa.int64(), nullable=False)])
OUTPUTS = pa.schema([pa.field("y", pa.int64(), nullable=False)])
LARGEST = 999

Behaviour: TypeAlias = Literal["doubles", "loses a row", "other field", "other type", "does not load"]
Predict: TypeAlias = Callable[[list[int]], Awaitable[list[int]]]


class AdapterContract:
    """Subclass it, name the framework, and write one small package for each behaviour."""

    framework: ClassVar[Framework]
    refusal: ClassVar[str | None] = "out of bounds"
    """None where models of the framework answer every row."""
    load_failure: ClassVar[str] = "not today"
    onnx: ClassVar[OnnxCalls | None] = None
    inputs: ClassVar[pa.Schema] = INPUTS
    outputs: pa.Schema = OUTPUTS
    sizes: ClassVar[tuple[int, ...]] = (1, 2, 17, 5000)
    """How many rows are asked together."""
    largest: ClassVar[int] = LARGEST
    """The values that a model doubles are below it."""
    requirements: ClassVar[tuple[str, ...]] = ()
    """What its models need in their environment; empty if the tests' own has it."""
    python = Path(sys.executable)

    @pytest.fixture(autouse=True)
    def environment(self, request: pytest.FixtureRequest) -> None:
        """The interpreter of the environment, which is built once and kept in the shared home."""
        if self.requirements:
            store = EnvironmentStore(request.getfixturevalue("shared_home") / "envs", environ=os.environ, cuda=False)
            self.python = store.ensure(EnvironmentSpec(requirements=self.requirements)).python

    def columns(self, values: list[int]) -> dict[str, list[object]]:
        """Values of x as the model takes them, where its inputs have other names or types."""
        return {"x": [*values]}

    def write(self, folder: Path, behaviour: Behaviour) -> Path:
        """A package of the framework whose model takes INPUTS and answers OUTPUTS, or what the class has in their place.

        Args:
            folder: where to write it.
            behaviour: `doubles`: y is twice x, and an x beyond `largest` raises an error that says `refusal`;
                `loses a row`: the last row has no answer; `other field`: it answers z; `other type`: it answers text;
                `does not load`: loading raises an error that says `load_failure`.

        Returns:
            The file or folder.
        """
        raise NotImplementedError

    def test_its_framework_names_it(self) -> None:
        assert FRAMEWORKS[self.framework].adapter in ADAPTERS

    def test_a_package_is_known_without_its_framework_being_named(self, tmp_path: Path) -> None:
        package = open_package(self.write(tmp_path, "doubles"), store=tmp_path / "store")
        assert package.framework is self.framework
        assert package.contents.entry or package.contents.files

    def test_every_row_is_answered_in_order_and_errors_are_the_models(self, tmp_path: Path) -> None:
        async def story(ask: Predict) -> None:
            for rows in self.sizes:
                values = [index % self.largest for index in range(rows)]
                assert await ask(values) == [2 * value for value in values]
            if self.refusal is not None:
                with pytest.raises(ModelFailed, match=self.refusal) as caught:
                    await ask([1, self.largest + 1])
                assert caught.value.reason == "model_error"
            assert await ask([3]) == [6]

        self._run(tmp_path, "doubles", story)

    @pytest.mark.parametrize(("behaviour", "path"), [("loses a row", "y"), ("other field", "y"), ("other type", "y")])
    def test_an_answer_that_the_schema_does_not_allow_is_refused(
        self, tmp_path: Path, behaviour: Behaviour, path: str
    ) -> None:
        async def story(ask: Predict) -> None:
            with pytest.raises(ModelFailed) as caught:
                await ask([1, 2, 3])
            assert (caught.value.reason, caught.value.path) == ("model_output_mismatch", path)

        self._run(tmp_path, behaviour, story)

    def test_a_model_that_does_not_load_says_why(self, tmp_path: Path) -> None:
        async def story(_: Predict) -> None:
            pytest.fail("it was loaded")

        with pytest.raises((BadPackage, ModelFailed), match=self.load_failure):
            self._run(tmp_path, "does not load", story)

    def _run(self, folder: Path, behaviour: Behaviour, story: Callable[[Predict], Awaitable[None]]) -> None:
        package = open_package(
            self.write(folder, behaviour), store=folder / "store", settings=ModelSettings(framework=self.framework)
        )
        adapter = FRAMEWORKS[self.framework].adapter
        assert adapter is not None
        spec = WorkerSpec(
            name="model-under-test",
            package=package.digest,
            environment=digest_of_bytes(sys.version.encode()),
            adapter=adapter,
            entry=package.contents.entry,
            files=package.contents.files,
            onnx=self.onnx,
            input_schema=self.inputs,
            output_schema=self.outputs,
            load_timeout_s=60,
        )

        async def main() -> None:
            # A socket's path is short, and pytest's folders have long names.
            with tempfile.TemporaryDirectory(prefix="tt-") as short:
                launcher = ProcessLauncher(
                    environ=dict(os.environ),
                    home=folder / "home",
                    files=lambda _: WorkerFiles(python=self.python, package=package.root),
                    temporary=Path(short),
                )
                worker = await launcher.start(spec)
                pool = WorkerPool(
                    input_schema=self.inputs, output_schema=self.outputs, batching="joined", limits=EngineLimits()
                )
                pool.attach(worker)
                try:
                    await story(lambda values: _answer(pool, pa.table(self.columns(values), schema=self.inputs)))
                finally:
                    await pool.close()
                    await worker.stop(5)

        asyncio.run(main())


async def _answer(pool: WorkerPool, rows: pa.Table) -> list[int]:
    answer = await predict(pool, Batch.of_record_batch(rows.combine_chunks().to_batches()[0]))
    assert answer.rows == len(rows)
    return [int(each) for each in answer.record_batch().column(0).to_pylist()]
