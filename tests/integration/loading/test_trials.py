"""A trial tells what an uploaded version turned out to be, or why it cannot be served, and leaves nothing behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from trivet.domain.encoding import decode, encode
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.package import EntryPoint
from trivet.domain.version import LoadedModel
from trivet.errors import BadEnvironment, BadPackage, DeadlineExceeded, Invalid, ModelFailed, TrivetError, Unavailable
from trivet.loading.trials import ProcessTrials
from trivet.wiring.supervisor_process import TRIAL_PROGRAM

NUMBERS = pa.schema([pa.field("x", pa.list_(pa.float32(), 3), nullable=False)])
SUMS = pa.schema([pa.field("y", pa.float32())])
SCHEMAS = {"input_schema": NUMBERS, "output_schema": SUMS}


def stages(bench) -> list[str]:
    """Each stage once, in order."""
    return list(dict.fromkeys(reported.stage for reported in bench.reports))


def test_an_onnx_model_is_loaded_in_the_trial_itself(bench) -> None:
    loaded = bench.run_process(bench.sum_onnx(), tensor_fields=("tensor",))
    assert (loaded.runtime, loaded.adapter, loaded.files) == (Runtime.NATIVE, None, {"model": "model.onnx"})
    assert loaded.input_schema.names == ["tensor"]
    assert loaded.output_schema.names == ["y"]
    assert (loaded.environment, loaded.requirements, loaded.entry) == (None, (), {})
    assert loaded.settings.tensor_fields == ("tensor",)
    assert stages(bench) == ["inspecting", "loading", "warming up", "comparing"]


def test_a_custom_model_is_loaded_in_its_environment_and_answers_a_row(bench) -> None:
    loaded = bench.run_process(bench.custom(), **SCHEMAS)
    assert (loaded.runtime, loaded.adapter) == (Runtime.ISOLATED, "custom")
    assert loaded.entry == {
        "inference": EntryPoint(file="custom_inference.py", name="Doubler", line=7),
        "builder": EntryPoint(file="custom_inference.py", name="DoublerBuilder", line=15),
    }
    assert (loaded.input_schema, loaded.output_schema) == (NUMBERS, SUMS)
    assert loaded.environment is not None
    assert (bench.home / "envs" / "environments" / loaded.environment).is_dir()
    assert loaded.python_version is not None
    assert stages(bench)[0] == "inspecting"
    assert stages(bench)[-3:] == ["loading", "warming up", "comparing"]
    assert decode(encode(loaded), LoadedModel) == loaded


def test_a_python_step_is_loaded_with_pandas(bench) -> None:
    loaded = bench.run(bench.step(), **SCHEMAS)
    assert (loaded.adapter, loaded.requirements) == ("python", ("pandas",))
    assert loaded.entry["function"].name == "process_data"


def test_what_the_package_says_itself_stands_behind_what_the_upload_says(bench) -> None:
    own = """
        input_schema: {x: 'float32[3]'}
        output_schema: {y: float64}
        workers: 3
        timeout: 7
        tests:
          - name: a sum
            rows: [{x: [1, 2, 3]}]
            expect: [{y: 12}]
    """
    loaded = bench.run(bench.zip({"custom_inference.py": bench.module(), "trivet.yaml": own}), output_schema=SUMS)
    assert (loaded.settings.workers, loaded.settings.timeout_s) == (3, 7)
    assert loaded.output_schema == SUMS
    # One worker is enough to find out.
    assert next(reported.detail for reported in bench.reports if reported.stage == "loading").startswith(
        "in 1 worker, Python "
    )
    assert "1 test of its own" in [reported.detail for reported in bench.reports]


def test_a_package_that_fails_its_tests_is_refused_with_all_differences(bench) -> None:
    own = """
        tests:
          - {name: right, rows: [{x: [1, 2, 3]}], expect: [{y: 12}]}
          - {name: wrong, rows: [{x: [1, 2, 3]}], expect: [{y: 11}]}
          - {name: of another kind, rows: [{x: nothing}], expect: [{y: 0}]}
    """
    with pytest.raises(ModelFailed, match="under-test does not pass its own tests") as caught:
        bench.run_process(bench.zip({"custom_inference.py": bench.module(), "trivet.yaml": own}), **SCHEMAS)
    assert caught.value.reason == "test_failed"
    assert "wrong: " in (caught.value.why or "")
    assert "of another kind: " in (caught.value.why or "")
    assert "right: " not in (caught.value.why or "")


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (lambda source: {"custom_inference.py": source, "requirements.txt": None},
         "Framework.CUSTOM requires a requirements.txt to be included within the uploaded .zip file"),
        (lambda source: {"custom_inference.py": source, "requirements.txt": "numpy ==\n"},
         "Could not parse user provided requirements.txt"),
        (lambda source: {"custom_inference.py": source, "requirements.txt": "no-such-distribution-as-this==1.0\n"},
         "Could not pip install user provided requirements.txt"),
        (lambda source: {"weights.txt": "1"}, "No Python modules found in the model directory: model.zip"),
        (lambda source: {"custom_inference.py": "import os\n"}, "No Inference-inherited class found in the model directory"),
        (lambda source: {"custom_inference.py": source.replace("_predict", "predicts")},
         "The Inference class must contain the predict method."),
        (lambda source: {"custom_inference.py": source.replace("def create", "def make")},
         "The InferenceBuilder class must contain the create method."),
        (lambda source: {"custom_inference.py": source.replace("input_data: InferenceData", "input_data: int")},
         "The Inference class's predict method may only accept a dictionary of numpy arrays."),
    ],
    ids=["no requirements", "bad requirements", "no such distribution", "no modules", "no class", "no predict",
         "no create", "wrong annotation"],
)  # fmt: skip
def test_errors_of_a_custom_model_have_the_conventions_texts(bench, files, text: str) -> None:
    with pytest.raises((BadPackage, BadEnvironment)) as caught:
        bench.run(bench.zip(files(bench.module())), framework=Framework.CUSTOM, **SCHEMAS)
    assert caught.value.what.startswith(text)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("bodies", "kind", "text"),
    [
        ({"create": "raise OSError('no weights')"}, ModelFailed, "OSError: no weights"),
        ({"create": "os._exit(3)"}, Unavailable, "exit code 3"),
        ({"create": "os.kill(os.getpid(), signal.SIGSEGV)"}, Unavailable, "killed by SIGSEGV (signal 11)"),
        ({"predict": "7"}, ModelFailed, "int"),
        ({"predict": "{'z': input_data['x'].sum(axis=1)}"}, ModelFailed, "y"),
        ({"predict": "{'y': input_data['x']}"}, ModelFailed, "y"),
    ],
    ids=["raises", "exits", "crashes", "no dict", "another name", "another shape"],
)
def test_a_model_that_does_not_load_or_answers_something_else_is_refused(
    bench, bodies: dict[str, str], kind: type[TrivetError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        bench.run(bench.custom(**bodies), **SCHEMAS)
    assert text in str(caught.value)


RAISES = "1 / 0 if (input_data['x'] < 2).any() else {'y': input_data['x'].sum(axis=1) * self.model}"


def test_a_model_that_raises_on_made_up_rows_is_ready_with_the_reason(bench) -> None:
    loaded = bench.run_process(bench.custom(predict=RAISES), **SCHEMAS)
    assert (loaded.answered, loaded.refusal.reason) == (False, "made_up_row_failed")
    assert loaded.refusal.message == (
        "the model raised on a row of zeros, which was made up from its schema: ZeroDivisionError: division by zero"
    )
    assert loaded.refusal.fix == (
        'fix the model, or give it an example row in trivet.yaml, such as `example: [{"x":[0.0,0.0,0.0]}]` '
        "with values that it answers"
    )
    (trace,) = [reported.detail for reported in bench.reports if reported.stage == "traceback"]
    assert trace.startswith("Traceback (most recent call last):\n")
    assert "custom_inference.py" in trace
    assert trace.endswith("ZeroDivisionError: division by zero")


def test_a_model_that_raises_on_its_own_example_is_an_error(bench) -> None:
    package = bench.zip(
        {"custom_inference.py": bench.module(predict=RAISES), "trivet.yaml": "example: [{x: [1, 1, 1]}]\n"}
    )
    with pytest.raises(ModelFailed, match="the model refuses its own example row") as caught:
        bench.run(package, **SCHEMAS)
    assert (caught.value.reason, caught.value.why) == ("canned_row_failed", "ZeroDivisionError: division by zero")
    (trace,) = [reported.detail for reported in bench.reports if reported.stage == "traceback"]
    assert trace.startswith("Traceback (most recent call last):\n")
    assert "custom_inference.py" in trace


def test_warnings_while_it_loads_are_notes_of_the_version(bench) -> None:
    warn = "import warnings; [warnings.warn(f'pickled by {name} 1.0') for name in ('scikit-learn', 'scikit-learn', 'numpy')]"
    loaded = bench.run(bench.custom(create=warn), **SCHEMAS)
    found = [note for note in loaded.notes if "Warning" in note]
    assert found == [f"while it loaded: UserWarning: pickled by {name} 1.0" for name in ("scikit-learn", "numpy")]


def test_a_custom_model_without_a_model_object_answers(bench) -> None:
    source = bench.module(predict="{'y': input_data['x'].sum(axis=1)}").replace("doubler.model = 2", "pass")
    assert "doubler.model" not in source
    assert bench.run(bench.zip({"custom_inference.py": source}), **SCHEMAS).answered


def test_a_model_without_the_schemas_that_it_needs_is_asked_for_them(bench) -> None:
    with pytest.raises(Invalid, match="needs an output schema"):
        bench.run(bench.custom(), input_schema=NUMBERS)


def test_the_file_is_called_as_its_owner_calls_it(bench, tmp_path: Path) -> None:
    stored = bench.sum_onnx().rename(tmp_path / "2f6b")
    assert bench.run(stored, file_name="sum.onnx").output_schema.field("y").type == pa.list_(pa.float32(), 1)
    with pytest.raises(BadPackage) as caught:
        bench.run(stored, file_name="sum.h5")
    assert "2f6b" not in str(caught.value)


def test_a_model_that_prints_and_writes_to_descriptor_1_disturbs_nothing(bench) -> None:
    loaded = bench.run_process(
        bench.custom(create="print('{}'); os.write(1, b'{\\n'); sys.stderr.write('x' * 100_000)"), **SCHEMAS
    )
    assert loaded.output_schema == SUMS


def test_a_load_that_takes_too_long_is_ended_with_all_that_it_started(bench) -> None:
    job = bench.job(bench.custom(create="time.sleep(600)"), **SCHEMAS)
    with pytest.raises(DeadlineExceeded, match="loading under-test took longer than 3 s") as caught:
        asyncio.run(bench.try_out(job, load_limit_s=3))
    assert caught.value.reason == "load_timeout"
    assert not bench.left()


def test_a_trial_that_takes_too_long_in_all_is_ended(bench) -> None:
    job = bench.job(bench.custom(create="time.sleep(600)"), **SCHEMAS)
    with pytest.raises(DeadlineExceeded, match="trying under-test took longer than 4 s"):
        asyncio.run(bench.try_out(job, limit_s=4))
    assert not bench.left()


def test_a_cancelled_trial_leaves_nothing(bench) -> None:
    job = bench.job(bench.custom(create="time.sleep(600)"), **SCHEMAS)

    async def main() -> list[psutil.Process]:
        loading = asyncio.Event()
        trial = asyncio.create_task(
            bench.try_out(job, on_doing=lambda reported: loading.set() if reported.stage == "loading" else None)
        )
        await asyncio.wait_for(loading.wait(), 60)
        below = await asyncio.to_thread(bench.below_once_loading)
        trial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trial
        return below

    below = asyncio.run(main())
    assert len(below) == 4  # the trial, the worker's guardians, the worker
    assert not bench.left_of(below)


@pytest.mark.parametrize(
    ("number", "text"),
    [(signal.SIGKILL, "killed by SIGKILL (signal 9)"), (signal.SIGSEGV, "killed by SIGSEGV (signal 11)")],
)
def test_a_killed_trial_is_reported_with_the_signal_and_leaves_nothing(
    bench, number: signal.Signals, text: str
) -> None:
    job = bench.job(bench.custom(create="time.sleep(600)"), **SCHEMAS)
    below: set[psutil.Process] = set()

    def kill(reported: object) -> None:
        if getattr(reported, "stage", "") == "loading":
            below.update(bench.below_once_loading())
            bench.below()[0].send_signal(number)

    with pytest.raises(Unavailable) as caught:
        asyncio.run(bench.try_out(job, on_doing=kill))
    assert caught.value.reason == "trial_died"
    assert text in (caught.value.why or "")
    assert len(below) == 4
    assert not bench.left_of(below)


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("print('broken', file=__import__('sys').stderr)", "exit code 0; its last output:\n    broken"),
        ("raise SystemExit('no parent')", "exit code 1; its last output:\n    no parent"),
        ('import os; os.write(1, b\'{"event": "loa\'); os._exit(4)', "exit code 4"),
    ],
)
def test_a_program_without_a_result_is_a_death(bench, program: str, text: str) -> None:
    trials = ProcessTrials([sys.executable, "-c", program], environ=os.environ)
    with pytest.raises(Unavailable) as caught:
        asyncio.run(bench.try_out(bench.job(Path("none.zip")), trials=trials))
    assert text in (caught.value.why or "")


def test_a_process_that_cannot_be_started_is_reported(bench):
    trials = ProcessTrials(["/no/such/python"], environ=os.environ)
    with pytest.raises(Unavailable, match="failed to start a process to load under-test") as caught:
        asyncio.run(bench.try_out(bench.job(Path("none.zip")), trials=trials))
    assert caught.value.reason == "trial_died"


PARENT = """
    import asyncio, json, os, sys
    from pathlib import Path
    from trivet.domain.encoding import decode
    from trivet.loading.trials import ProcessTrials, TrialJob
    import msgspec
    job = msgspec.structs.replace(decode(sys.stdin.readline(), TrialJob), parent=os.getpid())
    def report(reported):
        print(reported.stage, flush=True)
    trials = ProcessTrials(json.loads(sys.argv[1]), environ=os.environ)
    asyncio.run(trials.run(job, limit_s=600, load_limit_s=600, report=report))
"""


def test_a_trial_ends_with_the_process_that_wanted_it(bench) -> None:
    job = bench.job(bench.custom(create="time.sleep(600)"), **SCHEMAS)
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), json.dumps(TRIAL_PROGRAM)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent:
        parent.stdin.write(encode(job) + b"\n")
        parent.stdin.flush()
        while parent.stdout.readline().strip() != b"loading":
            assert parent.poll() is None
        below = bench.below_once_loading(parent.pid)
        parent.kill()
    assert len(below) == 4
    assert not bench.left_of(below)
