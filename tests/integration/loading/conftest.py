"""Uploaded files of every kind, and real trials of them: real environments, real workers."""

import asyncio
import os
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import psutil
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from trivet.domain.package import ModelSettings
from trivet.domain.version import Acceleration, Architecture, LoadedModel
from trivet.loading.trials import ProcessTrials, Stage, TrialJob
from trivet.settings import Settings, settings_to_json
from trivet.wiring.supervisor_process import TRIAL_PROGRAM
from trivet.wiring.trial_process import try_out
from trivet.workers.devices import this_machine

NUMBERS = pa.schema([pa.field("x", pa.list_(pa.float32(), 3), nullable=False)])
SUMS = pa.schema([pa.field("y", pa.float32())])
SCHEMAS = {"input_schema": NUMBERS, "output_schema": SUMS}

STEP = """
    def process_data(input_data):
        return {"y": input_data["x"].sum(axis=1)}
"""
CUSTOM = """
    import os, signal, sys, time
    from mac.inference import Inference
    from mac.inference.creation import InferenceBuilder
    from mac.types import InferenceData

    class Doubler(Inference):
        @property
        def expected_model_types(self):
            return {int}

        def _predict(self, input_data: InferenceData) -> InferenceData:
            return PREDICT

    class DoublerBuilder(InferenceBuilder):
        @property
        def inference(self):
            return Doubler

        def create(self, config):
            CREATE
            doubler = self.inference()
            doubler.model = 2
            return doubler
"""


@dataclass(kw_only=True)
class Bench:
    """Makes files and tries them.

    Attributes:
        reports: of all trials, in order.
        stand_in: whether this machine stands in for others.
        others: processes that this one had started before: servers that tests share.
    """

    folder: Path
    home: Path
    stand_in: bool = False
    reports: list[Stage] = field(default_factory=list)
    others: set[psutil.Process] = field(default_factory=lambda: set(psutil.Process().children(recursive=True)))

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, stand_in=self.stand_in)

    @property
    def trials(self) -> ProcessTrials:
        return ProcessTrials(TRIAL_PROGRAM, environ=os.environ)

    def zip(self, files: Mapping[str, str | None], *, name: str = "model.zip") -> Path:
        """A zip; one without a requirements file gets an empty one, where `files` does not say None to it."""
        files = {"requirements.txt": "", **files}
        with zipfile.ZipFile(self.folder / name, "w") as archive:
            for path, text in files.items():
                if text is not None:
                    archive.writestr(path, textwrap.dedent(text))
        return self.folder / name

    def module(self, *, create: str = "pass", predict: str = "{'y': input_data['x'].sum(axis=1) * self.model}") -> str:
        """A custom model's source."""
        return CUSTOM.replace("CREATE", create).replace("PREDICT", predict)

    def custom(self, **bodies: str) -> Path:
        return self.zip({"custom_inference.py": self.module(**bodies)})

    def step(self) -> Path:
        return self.zip({"my-step/step.py": STEP, "requirements.txt": None}, name="step.zip")

    def sum_onnx(self, *, name: str = "sum.onnx") -> Path:
        """[n, 3] -> [n, 1]."""
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
        ones = helper.make_tensor("ones", TensorProto.FLOAT, [3, 1], np.ones(3, np.float32))
        graph = helper.make_graph([helper.make_node("MatMul", ["x", "ones"], ["y"])], "g", [x], [y], [ones])
        made: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (self.folder / name).write_bytes(made.SerializeToString())
        return self.folder / name

    def job(
        self,
        path: Path,
        *,
        file_name: str | None = None,
        arch: Architecture | None = None,
        accel: Acceleration = Acceleration.NONE,
        **flags: object,
    ) -> TrialJob:
        return TrialJob(
            name="under-test",
            path=str(path),
            file_name=file_name or path.name,
            flags=ModelSettings(**flags),  # type: ignore[arg-type]
            arch=arch or this_machine(os.environ).arch or Architecture.X86,
            accel=accel,
            settings=settings_to_json(self.settings),
            parent=os.getpid(),
        )

    async def try_out(
        self,
        job: TrialJob,
        *,
        limit_s: float = 240,
        load_limit_s: float = 120,
        trials: ProcessTrials | None = None,
        on_doing: Callable[[Stage], None] = lambda _: None,
    ) -> LoadedModel:
        def collect(reported: Stage) -> None:
            self.reports.append(reported)
            on_doing(reported)

        return await (trials or self.trials).run(job, limit_s=limit_s, load_limit_s=load_limit_s, report=collect)

    def run(self, path: Path, *, file_name: str | None = None, **flags: object) -> LoadedModel:
        """Try a file as a trial's process does, but in this one; leave nothing behind."""

        def collect(stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
            self.reports.append(Stage(stage=stage, detail=detail, done=done, total=total))

        try:
            return try_out(self.job(path, file_name=file_name, **flags), report=collect)
        finally:
            assert not self.left()

    def run_process(self, path: Path, *, file_name: str | None = None, **flags: object) -> LoadedModel:
        """Try a file in a process of its own, and leave nothing behind."""
        try:
            return asyncio.run(self.try_out(self.job(path, file_name=file_name, **flags)))
        finally:
            assert not self.left()

    def below(self, parent: int | None = None) -> list[psutil.Process]:
        """What was started since by this process, or by another one, each after its parent."""
        return [each for each in psutil.Process(parent).children(recursive=True) if each not in self.others]

    def below_once_loading(self, parent: int | None = None) -> list[psutil.Process]:
        """The trial, its worker's two guardians and its worker, once all are there; those of this process, or of another one."""
        deadline = time.monotonic() + 60
        while len(below := self.below(parent)) != 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        return below

    def left_of(self, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
        """Those that still run after a while."""
        return psutil.wait_procs(list(processes), timeout=60)[1]

    def left(self) -> list[psutil.Process]:
        """What runs below this process after a while."""
        return self.left_of(self.below())


@pytest.fixture
def bench(tmp_path: Path, free_home: Path) -> Bench:
    return Bench(folder=tmp_path, home=free_home)
