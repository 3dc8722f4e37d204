"""PyTorch's models answer over HTTP as PyTorch does in a process of its own."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.envs import EnvironmentStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CASE = "pytorch-single-input"

# Writes models, and what each answers: [file, flags, rows, answers].
AUTHOR = """
import json, sys, torch
from pathlib import Path

folder = Path(sys.argv[1])
torch.manual_seed(0)
said = []


class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(10, 3), torch.nn.Embedding(5, 2)

    def forward(self, x, ids):
        return self.a(x), {"means": self.b(ids).mean(dim=1)}


def tell(file, flags, model, *tensors, names):
    answers = torch.utils._pytree.tree_leaves(model(*tensors))
    rows = [dict(zip(names, row)) for row in zip(*(each.tolist() for each in tensors))]
    said.append([file, flags, rows, [each.tolist() for each in answers]])


x, ids = torch.rand(5, 10), torch.randint(5, (5, 4))
two = Two().eval()
rows = torch.export.Dim("rows")
program = torch.export.export(two, (x, ids), dynamic_shapes={"x": {0: rows}, "ids": {0: rows}})
torch.export.save(program, folder / "two.pt2")
tell("two.pt2", [], two, x, ids, names=["input_1", "input_2"])

picture = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 1)).eval()
torch.export.save(torch.export.export(picture, (torch.rand(2, 1, 4, 4),)), folder / "picture.pt2")
tell("picture.pt2", ["--input-schema", "pixels: float64[16]", "--output-schema", "price: float32"], picture,
     torch.rand(5, 1, 4, 4), names=["pixels"])
for row in said[-1][2]:
    row["pixels"] = [value for line in row["pixels"][0] for value in line]
said[-1][3] = [[value for value, in said[-1][3][0]]]

torch.jit.save(torch.jit.trace(torch.nn.Sequential(two.a, torch.nn.Tanh()), x), folder / "traced.ot")
tell("traced.ot", ["--input-schema", "x: float32[10]", "--output-schema", "y: float32[3]"],
     torch.nn.Sequential(two.a, torch.nn.Tanh()), x, names=["x"])
on_gpu = torch.jit.script(torch.nn.Module())
on_gpu.define("def forward(self, x):\\n    return x + torch.zeros([1], device='cuda')\\n")
torch.jit.save(on_gpu, folder / "gpu.pt")
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def environment(shared_home: Path) -> Environment:
    """The environment of models that this release wrote, built before a server waits for it."""
    store = EnvironmentStore(shared_home / "envs", environ=os.environ)
    return store.ensure(EnvironmentSpec(requirements=("torch==2.13.0",)))


@pytest.fixture(scope="module")
def models(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    folder = tmp_path_factory.mktemp("models")
    words = [str(environment.python), "-I", "-W", "ignore", "-c", AUTHOR, str(folder)]
    done = subprocess.run(words, capture_output=True, check=False, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, json.loads(done.stdout)


def outputs(server: Any, records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    answer = server.post(json.dumps(records).encode())
    assert answer.status_code == 200, answer.text
    rows = [row["out"] for row in answer.json()]
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.conformance
@pytest.mark.usefixtures("environment")
def test_a_model_of_others_answers_what_is_known(conformance: Path, long_shell) -> None:
    cases = {case["id"]: case for case in json.loads((conformance / "cases.json").read_text())}
    assert {each for each, case in cases.items() if case["framework"] == "pytorch"} == {CASE}
    case = cases[CASE]
    schemas = ("--input-schema", "input: float32[10]", "--output-schema", "output: float32[1]")
    with long_shell.serve(conformance / case["file"], *schemas) as server:
        found = outputs(server, case["input"]["records"])
    assert list(found) == ["output"]
    np.testing.assert_allclose(found["output"], case["expected"]["out.output"], rtol=case["rtol"])


@pytest.mark.parametrize("file", ["two.pt2", "picture.pt2", "traced.ot"])
def test_models_of_every_form_answer_as_in_their_own_process(
    file: str, models: tuple[Path, list[Any]], long_shell
) -> None:
    folder, said = models
    flags, records, answers = next(rest for name, *rest in said if name == file)
    with long_shell.serve(folder / file, *flags) as server:
        found = outputs(server, records)
    for values, expected in zip(found.values(), answers, strict=True):
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


def test_what_does_not_fit_is_an_error_that_says_how_to_fix_it(models: tuple[Path, list[Any]], shell) -> None:
    folder, _ = models
    ended = shell.run("check", folder / "two.pt2", "--input-schema", "input: float32[10]")
    assert ended.code != 0
    assert (
        "the model has 2 inputs (x, ids), and the input schema has 1 column. "
        "A schema that fits: 'input_1: float32[10]; input_2: int64[4]'"
    ) in ended.stderr
    ended = shell.run("check", folder / "gpu.pt", "--input-schema", "x: float32[2]", "--output-schema", "y: float32[2]")
    assert ended.code != 0
    assert "the model needs a GPU, and there is none here: it was made with cuda. Move it to the CPU" in ended.stderr
