"""A version for another kind of machine is checked and resolved, and none of its code runs."""

import pyarrow as pa
import pytest

from trivet.domain.frameworks import Runtime
from trivet.domain.version import Acceleration, Architecture, LoadedModel
from trivet.errors import BadPackage
from trivet.workers.devices import this_machine

NUMBERS = pa.schema([pa.field("x", pa.list_(pa.float32(), 3), nullable=False)])
SUMS = pa.schema([pa.field("y", pa.float32())])
OTHER = Architecture.X86 if this_machine({}).arch is Architecture.ARM else Architecture.ARM


def says_so(loaded: LoadedModel, kind: str) -> bool:
    assert (loaded.answered, loaded.is_untried, loaded.environment) == (False, True, None)
    assert loaded.refusal is not None
    return loaded.refusal.message.startswith(f"not tried: built for {kind}: this machine has ")


def test_an_onnx_model_for_another_machine_shows_the_schemas_of_its_file(bench) -> None:
    loaded = bench.run(bench.sum_onnx(), arch=OTHER, tensor_fields=("tensor",))
    assert says_so(loaded, OTHER)
    assert (loaded.runtime, loaded.files) == (Runtime.NATIVE, {"model": "model.onnx"})
    assert loaded.input_schema == pa.schema([pa.field("tensor", pa.list_(pa.float32(), 3), nullable=False)])
    assert loaded.output_schema == pa.schema([pa.field("y", pa.list_(pa.float32(), 1), nullable=False)])
    assert [report.stage for report in bench.reports] == ["inspecting", "warning"]


def test_the_code_of_a_model_for_a_missing_accelerator_does_not_run(bench) -> None:
    broken = bench.custom(create="raise RuntimeError('it ran')")
    schemas = {"input_schema": NUMBERS, "output_schema": SUMS}
    loaded = bench.run(broken, accel=Acceleration.JETSON, **schemas)
    assert says_so(loaded, "jetson")
    assert (loaded.runtime, loaded.adapter) == (Runtime.ISOLATED, "custom")
    assert any(package.startswith("numpy==") for package in loaded.packages)
    assert not any(report.stage == "loading" for report in bench.reports)


def test_a_package_for_another_machine_is_checked_all_the_same(bench) -> None:
    nothing = bench.zip({"other.py": "x = 1"})
    with pytest.raises(BadPackage, match="No Inference-inherited class found"):
        bench.run(nothing, arch=OTHER, input_schema=NUMBERS, output_schema=SUMS)


def test_this_machine_stands_in_where_a_setting_says_so(bench) -> None:
    bench.stand_in = True
    loaded = bench.run(bench.sum_onnx(), arch=OTHER)
    assert loaded.answered
    assert not loaded.is_untried
