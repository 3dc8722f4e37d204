"""What a worker answers, and what model code may do without harm."""

import asyncio
import os
import textwrap
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from trivet.domain.deployment import Resources


def test_a_custom_model_answers_row_by_row(stand, row):
    def use(link):
        assert link.send(row)[0] == {"y": [12.0]}
        assert link.send(row * 3)[0] == {"y": [12.0] * 3}
        assert link.send(row)[1]["model_ns"] > 0

    stand.run(stand.custom(), use)


def test_a_python_step_answers(stand, row):
    spec = stand.step("""
        from mac.types import InferenceData
        def process_data(input_data: InferenceData) -> InferenceData:
            return {"y": input_data["x"][:, 0]}
    """)
    stand.run(spec, lambda link: check(link.send(row)[0] == {"y": [1.0]}))


def test_arrays_are_writable_and_the_dictionary_is_the_models_own(stand, row):
    spec = stand.custom(
        predict="x = input_data.pop('x')\nx *= 2\nassert x.dtype == np.float32, x.dtype\nreturn {'y': x[:, 0]}"
    )
    stand.run(spec, lambda link: check([link.send(row)[0] for _ in range(2)] == [{"y": [2.0]}] * 2))


def test_a_model_that_reuses_its_answers_memory_changes_no_earlier_answer(stand, row):
    spec = stand.custom(
        create="inference = self.inference()\ninference.model = 2\ninference.out = np.zeros(1, np.float32)\nreturn inference",
        predict="self.out += 1\nreturn {'y': self.out}",
    )
    stand.run(spec, lambda link: check([link.send(row)[0]["y"] for _ in range(3)] == [[1.0], [2.0], [3.0]]))


@pytest.mark.parametrize(
    ("statement", "type_"),
    [
        ("raise ValueError('bad luck')", "ValueError"),
        ("sys.exit(3)", "SystemExit"),
        ("raise KeyboardInterrupt('stop')", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("[].pop()", "IndexError"),
        ("(lambda f: f(f))(lambda f: f(f))", "RecursionError"),
        ("raise ValueError('half a character: \\ud800')", "ValueError"),
    ],
)
def test_any_exception_of_a_model_is_its_error_and_the_worker_continues(stand, row, statement, type_):
    spec = stand.custom(
        predict=f"if input_data['x'][0, 0] < 0:\n    {statement}\n{'return'} {{'y': input_data['x'][:, 0]}}"
    )

    def use(link):
        data, metadata = link.send([[-1.0, 0.0, 0.0]])
        assert data is None
        assert metadata["error"]["reason"] == "model_error"
        assert metadata["error"]["type"] == type_
        metadata["error"]["message"].encode()  # the platform's decoder takes whole characters only
        assert link.send(row)[0] == {"y": [1.0]}

    log = stand.run(spec, use)
    assert any(type_ in line for line in log)
    assert any("custom_inference.py" in line for line in log)
    assert not any("trivet_worker" in line for line in log)


def test_a_callers_error_has_no_path_of_this_machine(stand, row):
    spec = stand.custom(
        predict="""
            import json, os, sys
            package = os.path.dirname(os.path.abspath(__file__))
            home = HOME
            raise ValueError(f"{package}/model.bin {os.getcwd()}/x {home}/token {home}er {sys.prefix}/lib|")
        """.replace("HOME", repr(str(stand.home)))
    )

    def use(link):
        message = link.send(row)[1]["error"]["message"]
        kept = f"{stand.home}er"
        assert message.startswith(f"<package>/model.bin <scratch>/x <home>/token {kept} ")

    log = stand.run(spec, use)
    assert any(f"{stand.home}/token" in line for line in log)


HOSTILE = {
    "a huge message": "raise ValueError('x' * 10**7)",
    "a huge type": "raise type('T' * 10**6, (Exception,), {})('m')",
    "a message that ends the process": "raise type('T', (Exception,), {'__str__': lambda self: sys.exit(3)})",
    "a message of another kind": """
        class Text(str):
            def __getitem__(self, key): raise SystemExit
        raise type('T', (Exception,), {'__str__': lambda self: Text('m')})
    """,
    "a name that raises": "raise type('T', (ImportError,), {'name': property(lambda self: 1 / 0)})('m')",
    "no stderr": "sys.stderr = None\nraise ValueError('m')",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_exception_is_an_error_of_a_bounded_size(stand, row, what):
    statement = textwrap.indent(textwrap.dedent(HOSTILE[what]), "    ")
    spec = stand.custom(predict=f"if input_data['x'][0, 0] < 0:\n{statement}\nreturn {{'y': input_data['x'][:, 0]}}")

    def use(link):
        _, metadata = link.send([[-1.0, 0.0, 0.0]])
        assert metadata["error"]["reason"] == "model_error"
        assert len(metadata["error"]["type"]) <= 200
        assert len(metadata["error"]["message"]) <= 4000
        assert link.send(row)[0] == {"y": [1.0]}

    stand.run(spec, use)


def test_input_that_the_model_refuses_is_the_callers_error(stand, row):
    spec = stand.custom(
        predict="from mac.exceptions import InferenceDataValidationError\nraise InferenceDataValidationError('no such colour')"
    )

    def use(link):
        error = link.send(row)[1]["error"]
        assert (error["reason"], error["message"]) == ("invalid_input", "no such colour")

    stand.run(spec, use)


@pytest.mark.parametrize(
    ("answer", "path", "message"),
    [
        ("(1.0,)", "output", "field 'output': expected a dictionary of numpy arrays by field name, got tuple"),
        ("{}", "y", "field 'y': expected float32, got no such field (but no fields)"),
        ("{'z': 1}", "y", "field 'y': expected float32, got no such field (but 'z')"),
        ("{'y': np.ones(1), 'z': 1}", "z", "field 'z': expected only the fields of the output schema, got a field"),
        ("{'y': np.ones(2)}", "y", "field 'y': expected 1 row of float32, got float64 of shape (2,)"),
        ("{'y': np.ones((1, 2))}", "y", "field 'y': expected 1 row of float32, got float64 of shape (1, 2)"),
        ("{'y': np.array(['a'])}", "y", "field 'y': expected 1 row of float32, got <U1 of shape (1,)"),
        ("{'y': 1.0}", "y", "field 'y': expected 1 row of float32, got float"),
    ],
)
def test_an_answer_other_than_declared_is_the_models_error(stand, row, answer, path, message):
    def use(link):
        data, metadata = link.send(row)
        assert data is None
        assert metadata["error"]["reason"] == "model_output_mismatch"
        assert metadata["error"]["path"] == path
        assert metadata["error"]["message"].startswith(message)

    stand.run(stand.custom(predict=f"return {answer}"), use)


def test_printing_logging_and_changing_the_folder_disturb_nothing(stand, row):
    spec = stand.custom(
        top="import logging\nlogging.basicConfig(level=logging.DEBUG)\nprint('from import')\n",
        predict="""
            print('{"event": "failed"}')
            os.write(1, b'raw\\n')
            logging.getLogger('m').info('logged')
            assert os.getcwd() == os.environ['HOME'], os.getcwd()
            assert sys.stdin.read() == ''
            os.chdir('/')
            return {'y': input_data['x'][:, 0]}
        """,
    )

    def use(link):
        for _ in range(3):
            assert link.send(row)[0] == {"y": [1.0]}

    log = stand.run(spec, use)
    assert log[0] == "from import"
    assert "raw" in log
    assert "INFO:m:logged" in log


def test_a_missing_memory_is_the_models_error_and_the_worker_goes_on(stand, row):
    spec = replace(
        stand.custom(
            predict="big = np.ones(int(input_data['x'][0, 0]), np.uint8)\nreturn {'y': input_data['x'][:, 1]}"
        ),
        memory_bytes=1500 * 2**20,
    )

    def use(link):
        assert link.send([[3e9, 1.0, 0.0]])[1]["error"]["type"] in {"MemoryError", "_ArrayMemoryError"}
        assert link.send(row)[0] == {"y": [2.0]}

    stand.run(spec, use)


def test_open_files_and_core_dumps_are_limited(stand, row):
    spec = replace(
        stand.custom(
            predict="""
            import resource
            core = resource.getrlimit(resource.RLIMIT_CORE)
            files = resource.getrlimit(resource.RLIMIT_NOFILE)
            assert core == (0, 0), core
            return {'y': np.array([files[0]])}
            """
        ),
        open_files=200,
    )
    stand.run(spec, lambda link: check(link.send(row)[0] == {"y": [200.0]}))


def test_the_model_runs_in_the_main_thread_always(stand, row):
    spec = stand.custom(
        create="""
            import sqlite3
            inference = self.inference()
            inference.model = 2
            inference.db = sqlite3.connect(':memory:')
            return inference
        """,
        predict="""
            assert threading.current_thread() is threading.main_thread()
            value = self.db.execute('select 7').fetchone()[0]
            return {'y': np.array([value])}
        """,
    )
    stand.run(spec, lambda link: check(link.send(row)[0] == {"y": [7.0]}))


def test_a_worker_sees_nothing_of_the_environment_that_may_be_a_secret(stand, row, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("NVIDIA_API_KEY", "x")
    monkeypatch.setenv("LC_TOKEN", "x")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    spec = stand.custom(
        predict="""
        secret = {'AWS_SECRET_ACCESS_KEY', 'NVIDIA_API_KEY', 'LC_TOKEN'} & set(os.environ)
        return {'y': np.array([1.0 * len(secret) + 10 * int(os.environ['OMP_NUM_THREADS'])])}
        """
    )
    stand.run(spec, lambda link: check(link.send(row)[0] == {"y": [10.0]}))


@pytest.mark.parametrize(
    ("devices", "given", "env", "seen"),
    [
        ((), (), {}, "7"),
        (("0", "1"), (), {}, ""),
        (("0", "1"), ("1",), {}, "1"),
        (("0", "GPU-7a"), ("0", "GPU-7a"), {"CUDA_VISIBLE_DEVICES": "5"}, "0,GPU-7a"),
        (("0", "1"), (), {"CUDA_VISIBLE_DEVICES": "5"}, "5"),
    ],
)
def test_a_worker_sees_only_its_own_gpus(stand, row, devices, given, env, seen):
    spec = stand.custom(
        predict=f"""
        return {{'y': np.array([1.0 * (os.environ.get('CUDA_VISIBLE_DEVICES') == {seen!r})])}}
        """
    )
    spec = replace(spec, devices=given, resources=Resources(gpus=len(given), env=env))
    launcher = stand.launcher_with(environ={"CUDA_VISIBLE_DEVICES": "7"}, devices=devices)

    async def main():
        worker = await launcher.start(spec)
        try:
            answer, _ = await asyncio.to_thread(stand.link(worker, spec).send, row)
        finally:
            await worker.stop(5)
        assert answer == {"y": [1.0]}

    asyncio.run(main())


@pytest.mark.parametrize("own", [None, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"])
def test_threads_are_divided_unless_the_user_limits_them(stand, row, monkeypatch, own):
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    if own is not None:
        monkeypatch.setenv(own, "77")
    spec = stand.custom(
        predict=f"""
        return {{'y': np.array([float(sum(int(os.environ.get(name, 0)) for name in {names}))])}}
        """
    )
    divided = 3.0 * max(1, (os.cpu_count() or 1) - 1)
    stand.run(spec, lambda link: check(link.send(row)[0] == {"y": [divided if own is None else 77.0]}))


def test_optional_inputs_arrive_as_none_and_as_empty_lists(stand):
    spec = replace(
        stand.custom(
            predict="""
            one, two, factor = input_data['input_1'], input_data['input_2'], input_data['factor']
            out = np.empty(len(one), dtype=object)
            for i in range(len(one)):
                more = sum(x for x in two[i] if x is not None)
                out[i] = one[i] * (1 if factor[i] is None else factor[i]) + more
            return {'output': out}
            """
        ),
        input_schema=pa.schema(
            [
                pa.field("input_1", pa.list_(pa.float32()), nullable=False),
                pa.field("input_2", pa.list_(pa.float32())),
                pa.field("factor", pa.int32()),
            ]
        ),
        output_schema=pa.schema([pa.field("output", pa.list_(pa.float32()))]),
    )

    def use(link):
        answer = link.send([[1, 2], [3]], [[5], [7, 1]], [2, 3])[0]
        assert answer == {"output": [[7.0, 9.0], [17.0]]}
        answer = link.send([[1, 2], [3]], [[], [None]], [None, None])[0]
        assert answer == {"output": [[1.0, 2.0], [3.0]]}

    stand.run(spec, use)


def test_lists_of_one_length_are_one_array_and_ragged_ones_objects(stand):
    spec = replace(
        stand.custom(
            predict="""
            found = input_data['variable']
            if found.dtype == object:
                return {'out': [row * 2 for row in found]}
            return {'out': np.rint(np.power(10, input_data.pop('variable')))}
            """
        ),
        input_schema=pa.schema([pa.field("variable", pa.list_(pa.float32()))]),
        output_schema=pa.schema([pa.field("out", pa.list_(pa.float32()))]),
    )

    def use(link):
        assert link.send([[1, 2], [0, 3]])[0] == {"out": [[10.0, 100.0], [1.0, 1000.0]]}
        assert link.send([[1, 2], [3]])[0] == {"out": [[2.0, 4.0], [6.0]]}

    stand.run(spec, use)


def test_a_coroutine_is_awaited_always_on_the_same_loop(stand, row):
    spec = stand.custom(
        predict="""
        async def answer():
            import asyncio
            loop = asyncio.get_running_loop()
            assert getattr(self, 'loop', loop) is loop
            self.loop = loop
            await asyncio.sleep(0)
            if input_data['x'][0, 0] > 100:
                raise ValueError('too much')
            return {'y': input_data['x'].sum(axis=1) * self.model}
        return answer()
        """
    )

    def use(link):
        assert link.send(row)[0] == {"y": [12.0]}
        assert link.send(row)[0] == {"y": [12.0]}
        assert link.send([[101.0, 0, 0]])[1]["error"]["message"] == "too much"

    stand.run(spec, use)


def test_a_stream_of_another_schema_is_refused_and_harms_no_other(stand, row):
    spec = stand.custom()

    def use(link):
        from pyarrow import flight

        wrong = pa.schema([("x", pa.int64())])
        writer, reader = link._client.do_exchange(flight.FlightDescriptor.for_path(b"predict"), link.options)
        writer.begin(wrong)
        with pytest.raises(flight.FlightServerError, match="not the model's"):
            reader.read_chunk()
        with pytest.raises(flight.FlightServerError, match="not the model's"):
            writer.close()
        assert link.send(row)[0] == {"y": [12.0]}

    stand.run(spec, use)


def test_a_thousand_rows_of_images_come_through(stand):
    spec = replace(
        stand.custom(predict="return {'y': input_data['images'].reshape(len(input_data['images']), -1).sum(axis=1)}"),
        input_schema=pa.schema([("images", pa.list_(pa.list_(pa.list_(pa.int64(), 3), 32), 32))]),
        output_schema=pa.schema([("y", pa.int64())]),
    )

    def use(link):
        from trivet_worker.tensors import to_arrow

        images = np.random.default_rng(0).integers(0, 256, (1000, 32, 32, 3))
        answer = link.send(to_arrow(images, spec.input_schema.field(0)))[0]
        assert answer == {"y": images.reshape(1000, -1).sum(axis=1).tolist()}

    stand.run(spec, use)


def check(condition):
    assert condition


def test_a_call_after_one_that_lost_its_folder_runs_in_the_scratch(stand, row):
    spec = stand.custom(
        predict="import tempfile\n"
        "inside = os.getcwd() == os.environ['HOME']\n"
        "with tempfile.TemporaryDirectory() as work:\n"
        "    os.chdir(work)\n"
        "return {'y': np.array([float(inside)])}"
    )
    stand.run(spec, lambda link: [check_equal(link.send(row)[0], {"y": [1.0]}) for _ in range(3)])


def check_equal(found: object, expected: object) -> None:
    assert found == expected
