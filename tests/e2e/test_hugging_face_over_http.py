"""Hugging Face models of each task answer over HTTP as the task's pipeline does in a process of its own."""

import json
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.domain.frameworks import HUGGING_FACE
from trivet.envs import EnvironmentStore
from trivet.packaging.frameworks.hugging_face import RELEASES
from trivet_worker.hugging_face_tasks import TASKS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

AUTHOR = Path(__file__).with_name("write_hugging_face_models.py")
NAMED = ("sentiment-analysis", "summarization", "zero-shot-classification")
"""What their config.json does not say alone."""
LOST = ("image-to-text", "question-answering", "summarization", "translation")
"""Tasks that transformers has no pipeline for from release 5 on."""


@pytest.fixture(scope="module")
def store(shared_home: Path) -> EnvironmentStore:
    return EnvironmentStore(shared_home / "envs", environ=os.environ)


def built(store: EnvironmentStore, release: int) -> Environment:
    """The environment of a release, built before a server waits for it."""
    return store.ensure(EnvironmentSpec(requirements=RELEASES[release]))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, store: EnvironmentStore) -> tuple[Path, list[Any]]:
    """A folder with a model for each task, and what each answers."""
    folder = tmp_path_factory.mktemp("models")
    done = subprocess.run(
        [str(built(store, 4).python), "-I", "-W", "ignore", str(AUTHOR), str(folder)],
        capture_output=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, json.loads(done.stdout.splitlines()[-1])


def check_answers(shell: Any, folder: Path, case: list[Any]) -> None:
    """Serve a model, and compare each field of its answers."""
    task, given, answered, records, answers = case
    words = ["--input-schema", given, "--output-schema", answered]
    if task in NAMED:
        words += ["--framework", f"hugging-face-{task}"]
    with shell.serve(folder / task, *words) as server:
        answer = server.post(json.dumps(records).encode())
        assert answer.status_code == 200, answer.text
        rows = [row["out"] for row in answer.json()]
        alone = server.post(json.dumps(records[:1]).encode()).json()[0]["out"]
    for field, values in answers.items():
        found = [row[field] for row in rows]
        assert near(found, values), (field, str(found)[:400], str(values)[:400])
        assert near(alone[field], values[0]), field


def near(found: Any, expected: Any) -> bool:
    """Whether two answers are the same, but for rounding."""
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(near, found, expected))
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(near(found[name], expected[name]) for name in expected)
    if isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-4, abs_tol=1e-6)
    return bool(found == expected)


def test_each_task_has_a_framework() -> None:
    assert {each.removeprefix("hugging-face-") for each in HUGGING_FACE} == set(TASKS)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_model_answers_as_the_pipeline_of_its_task(
    task: str, written: tuple[Path, list[Any]], long_shell: Any
) -> None:
    folder, said = written
    cases = [case for case in said if case[0] == task]
    assert cases
    for case in cases:
        check_answers(long_shell, folder, case)


@pytest.mark.parametrize("task", LOST)
def test_release_5_answers_as_the_pipelines_that_it_lost(
    task: str, written: tuple[Path, list[Any]], store: EnvironmentStore, tmp_path: Path, long_shell: Any
) -> None:
    folder, said = written
    built(store, 5)
    shutil.copytree(folder / task, tmp_path / task)
    config = tmp_path / task / "config.json"
    release = RELEASES[5][0].partition("==")[2]
    config.write_text(json.dumps({**json.loads(config.read_text()), "transformers_version": release}))
    check_answers(long_shell, tmp_path, [case for case in said if case[0] == task][-1])


def test_an_input_that_the_task_does_not_take_is_an_error(
    written: tuple[Path, list[Any]], store: EnvironmentStore, shell: Any
) -> None:
    words = ("--input-schema", "inputs: string; temperature: float64", "--output-schema", "output: float64[*,32]")
    ended = shell.run("check", written[0] / "feature-extraction", *words)
    assert ended.code != 0
    assert "feature-extraction does not take the input 'temperature': its inputs are inputs" in ended.stderr
