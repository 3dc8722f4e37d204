"""How packages are imported and loaded, and the errors when that fails."""

import asyncio
import subprocess
import sys
from dataclasses import replace

import pytest

from trivet.domain.package import EntryPoint
from trivet.errors import BadEnvironment, BadPackage, ModelFailed, TrivetError, Unavailable
from trivet.workers.events import PROTOCOL, LoadFailed, error_of, read_event


def failure_of(stand, spec):
    async def main():
        with pytest.raises(TrivetError) as caught:
            await stand.launcher.start(spec)
        return caught.value

    return asyncio.run(main())


def answers(stand, spec, row):
    answers = []
    stand.run(spec, lambda link: answers.append(link.send(row)[0]))
    return answers[0]["y"]


def test_hyphenated_files_neighbours_and_sub_packages_are_imported(stand, row):
    root = stand.package(
        {
            "my-model.py": """
            import os
            from helper import FACTOR
            from parts.inner import OFFSET
            assert os.path.basename(__file__) == "my-model.py"
            def process_data(input_data):
                return {"y": input_data["x"][:, 0] * FACTOR + OFFSET}
        """,
            "helper.py": "FACTOR = 10",
            "parts/inner.py": "from .more import OFFSET",
            "parts/more.py": "OFFSET = 5",
            "numpy_notes/readme.txt": "an artifact",
        }
    )
    entry = {"function": EntryPoint(file="my-model.py", name="process_data", line=1)}
    spec = replace(stand.spec(root, entry=entry), adapter="python")
    assert answers(stand, spec, row) == [15.0]
    assert not list(root.rglob("__pycache__"))


@pytest.mark.parametrize(
    "imports",
    [
        "from .helper import FACTOR\nfrom .parts.inner import OFFSET",
        "from mymodel.helper import FACTOR\nfrom mymodel.parts.inner import OFFSET",
        "import mymodel.helper\nFACTOR = mymodel.helper.FACTOR\nfrom . import OFFSET",
        "from mymodel import helper\nFACTOR, OFFSET = helper.FACTOR, 5",
    ],
)
def test_a_folder_that_is_a_python_package_is_imported_as_one(stand, row, imports):
    root = stand.package(
        {
            "__init__.py": "OFFSET = 5",
            "main.py": f"{imports}\nimport helper\ndef process_data(d):\n    return {{'y': d['x'][:, 0] * FACTOR + OFFSET}}",
            "helper.py": "FACTOR = 10",
            "parts/__init__.py": "",
            "parts/inner.py": "from .. import OFFSET",
        }
    )
    entry = {"function": EntryPoint(file="main.py", name="process_data", line=1)}
    assert answers(stand, replace(stand.spec(root, entry=entry), adapter="python"), row) == [15.0]


def test_a_folder_with_an_unused_init_file_stays_a_plain_folder(stand, row):
    text = (
        "import helper\nassert __name__ == 'main'\ndef process_data(d):\n    return {'y': d['x'][:, 0] * helper.FACTOR}"
    )
    files = {"helper.py": "FACTOR = 2", "__init__.py": "raise RuntimeError('not imported')"}
    assert answers(stand, stand.step(text, file="main.py", **files), row) == [2.0]


def test_two_packages_with_a_helper_each_never_meet(stand, row):
    text = "from helper import FACTOR\ndef process_data(d):\n    return {'y': d['x'][:, 0] * FACTOR}"
    assert answers(stand, stand.step(text, **{"helper.py": "FACTOR = 2"}), row) == [2.0]
    assert answers(stand, stand.step(text, **{"helper.py": "FACTOR = 3"}), row) == [3.0]


def test_a_package_cannot_take_the_place_of_what_the_worker_needs(stand, row):
    bomb = "raise RuntimeError('the wrong one')"
    text = "import mac.types\nimport numpy as np\ndef process_data(d):\n    return {'y': np.array([1.0])}"
    spec = stand.step(
        text, **{"numpy.py": bomb, "pyarrow/__init__.py": bomb, "mac/__init__.py": bomb, "queue.py": bomb}
    )
    assert answers(stand, spec, row) == [1.0]


def test_an_entry_file_may_be_called_like_a_module_of_python(stand, row):
    text = "def process_data(d):\n    return {'y': d['x'][:, 0]}"
    assert answers(stand, stand.step(text, file="queue.py"), row) == [1.0]


def test_a_standard_name_is_the_packages_own_for_the_package(stand, row):
    """Libraries go on with Python's own: pandas is not imported before, and needs each of them."""
    text = """
    import platform as the_platform, queue, statistics, types
    from tokenize import FACTOR
    from logging.handlers import OFFSET
    from again import QUEUE
    import concurrent.futures, traceback, typing
    import pandas
    assert QUEUE is queue
    assert the_platform.__file__ != queue.__file__ and hasattr(the_platform, "system")

    def process_data(d):
        import queue as late
        assert late is queue and late.sizes() == [1]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            values = pool.submit(lambda: types.scaled(d["x"][:, 0], FACTOR) + OFFSET).result()
        frame = pandas.DataFrame({"x": values})
        return {"y": frame["x"].to_numpy() + statistics.BIAS}
    """
    files = {
        "queue.py": "import collections\nimport pandas\ndef sizes():\n    return [len(collections.deque([1]))]",
        "types.py": "import dataclasses\n@dataclasses.dataclass\nclass Scale:\n    factor: 'int'\n"
        "def scaled(values, factor):\n    return values * Scale(factor).factor",
        "tokenize.py": "FACTOR = 10",
        "statistics/__init__.py": "from statistics.inner import BIAS",
        "statistics/inner.py": "from . import __name__ as name\nassert name == 'statistics'\nBIAS = 0.5",
        "logging/__init__.py": "",
        "logging/handlers.py": "OFFSET = 3",
        "again.py": "import queue as QUEUE",
        "io.py": "raise RuntimeError('Python has imported its own before')",
    }
    assert answers(stand, stand.step(text, **files), row) == [13.5]


def test_an_entry_file_in_a_sub_folder_finds_its_neighbours_and_the_top(stand, row):
    root = stand.package(
        {
            "code/main.py": "from near import A\nfrom top import B\ndef process_data(d):\n    return {'y': d['x'][:, 0] + A + B}",
            "code/near.py": "A = 1",
            "top.py": "B = 2",
        }
    )
    entry = {"function": EntryPoint(file="code/main.py", name="process_data", line=1)}
    assert answers(stand, replace(stand.spec(root, entry=entry), adapter="python"), row) == [4.0]


def test_a_builder_in_another_file_shares_the_inference_class(stand, row):
    root = stand.package(
        {
            "inf.py": """
            from mac.inference import Inference
            class Mine(Inference):
                expected_model_types = {str}
                def _predict(self, input_data):
                    return {"y": input_data["x"][:, 0]}
        """,
            "build.py": """
            from mac.inference.creation import InferenceBuilder
            from inf import Mine
            class Builder(InferenceBuilder):
                @property
                def inference(self):
                    return Mine()
                def create(self, config):
                    made = self.inference
                    made.model = (config.model_path / "words.txt").read_text()
                    return made
        """,
            "words.txt": "hello",
        }
    )
    entry = {
        "inference": EntryPoint(file="inf.py", name="Mine", line=3),
        "builder": EntryPoint(file="build.py", name="Builder", line=4),
    }
    assert answers(stand, stand.spec(root, entry=entry), row) == [1.0]


def test_the_import_of_wallaroo_out_of_habit_harms_nothing(stand, row):
    spec = stand.step("import wallaroo\ndef process_data(d):\n    return {'y': d['x'][:, 0]}")
    assert answers(stand, spec, row) == [1.0]


@pytest.mark.parametrize(
    "use", ["import wallaroo\nwallaroo.Client()", "from wallaroo import Client", "import wallaroo.Client"]
)
def test_a_use_of_wallaroo_says_what_is_missing(stand, use):
    error = failure_of(stand, stand.step(f"{use}\ndef process_data(d):\n    return d"))
    assert isinstance(error, BadPackage)
    assert "'wallaroo' is not installed in this environment" in error.message
    assert "Client" in error.message


def test_a_module_that_fails_on_import_is_reported_with_exception_and_line(stand):
    error = failure_of(stand, stand.step("import numpy\n\nundefined_name\n\ndef process_data(d): return d"))
    assert isinstance(error, BadPackage)
    assert error.reason == "import_failed"
    assert error.path == "step.py:3"
    assert error.what == "a module of model-under-test fails on import"
    assert error.why.startswith("NameError: name 'undefined_name' is not defined")


def test_a_missing_module_is_to_be_added_to_the_requirements(stand):
    error = failure_of(stand, stand.step("import no_such_distribution\ndef process_data(d): return d"))
    assert error.path == "step.py:1"
    assert "No module named 'no_such_distribution'" in error.message
    assert "requirements.txt" in error.fix


def test_a_syntax_error_names_its_line(stand):
    error = failure_of(stand, stand.step("x = 1\ndef process_data(d) return d"))
    assert error.path == "step.py:2"
    assert "SyntaxError" in error.message


def test_a_module_that_ends_the_program_is_reported(stand):
    error = failure_of(stand, stand.step("import sys\nsys.exit('no licence')\ndef process_data(d): return d"))
    assert isinstance(error, BadPackage)
    assert "SystemExit: no licence" in error.message


def test_a_builder_that_raises_is_reported_with_line_and_log(stand):
    spec = stand.custom(create="print('looking for the weights')\nreturn open(config.model_path / 'weights.bin')")
    error = failure_of(stand, spec)
    assert isinstance(error, ModelFailed)
    assert error.reason == "load_failed"
    assert error.path.startswith("custom_inference.py:")
    assert "FileNotFoundError" in error.message
    assert "looking for the weights" in error.message


def test_a_model_of_an_unexpected_type_is_reported(stand):
    error = failure_of(stand, stand.custom(create="made = self.inference()\nmade.model = 'text'\nreturn made"))
    assert isinstance(error, ModelFailed)
    assert "ModelTypeError: The model is of type str, which is none of the expected model types: int." in error.message


def test_a_builder_that_returns_something_else_is_reported(stand):
    error = failure_of(stand, stand.custom(create="return 7"))
    assert isinstance(error, BadPackage)
    assert error.what == "DoublerBuilder.create gave int, not a Doubler that can predict"


def test_a_worker_that_dies_while_loading_is_reported_with_its_signal(stand):
    error = failure_of(stand, stand.custom(create="print('so far'); os.kill(os.getpid(), signal.SIGKILL)"))
    assert isinstance(error, Unavailable)
    assert "killed by SIGKILL (signal 9)" in error.message
    assert "so far" in error.message


def test_a_worker_that_loads_for_too_long_is_ended(stand):
    spec = replace(stand.custom(create="print('still loading')\ntime.sleep(100)"), load_timeout_s=2)
    error = failure_of(stand, spec)
    assert isinstance(error, Unavailable)
    assert error.what == "the worker of model-under-test was not ready within 2 s"
    assert error.why == "its log ends with\n    still loading"
    assert "still loading" in error.message


def test_a_missing_interpreter_is_reported(stand, tmp_path):
    error = failure_of(replace(stand, python=tmp_path / "gone" / "python"), stand.custom())
    assert isinstance(error, BadEnvironment)
    assert "No such file" in error.message


def test_an_environment_without_numpy_is_reported(stand, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    error = failure_of(replace(stand, python=tmp_path / "bare" / "bin" / "python"), stand.custom())
    assert isinstance(error, BadEnvironment)
    assert "No module named" in error.message


def test_a_worker_of_another_release_than_its_platform_says_so():
    program = "from trivet_worker.__main__ import main; main()"
    line = b'{"protocol": 9, "of": "another release"}\n'
    ended = subprocess.run([sys.executable, "-c", program], input=line, capture_output=True, check=False)
    event = read_event(ended.stdout)
    assert isinstance(event, LoadFailed)
    error = error_of(event.error, name="ccfraud", adapter="custom", tail="")
    assert error.reason == "other_protocol"
    assert error.why == f"the platform speaks version 9 of the worker protocol, and the worker version {PROTOCOL}"
    assert (ended.returncode, ended.stderr.decode()) == (1, f"{error.why}\n")
