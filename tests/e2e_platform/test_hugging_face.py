"""Hugging Face models of each task uploaded and deployed, answer as the task's pipeline does in a process of its own."""

import json
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.domain.schema import load_schema
from trivet.envs import EnvironmentStore
from trivet.packaging.frameworks.hugging_face import RELEASES
from trivet_tests.platform import Platform
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


def check_answers(running: Platform, folder: Path, case: list[Any]) -> None:
    """Upload and deploy a model, and compare each field of its answers."""
    task, given, answered, records, answers = case
    name = f"m-{uuid4().hex[:8]}"
    with running.client() as client:
        version = client.upload_model(
            name,
            folder / task,
            framework=f"hugging-face-{task}" if task in NAMED else None,
            input_schema=load_schema(given, which="input"),
            output_schema=load_schema(answered, which="output"),
        )
        assert version.framework() == f"hugging-face-{task}"
        pipeline = client.build_pipeline(name).add_model_step(version)
        pipeline.deploy()
        answer = running.infer(name, records, timeout=120)
        alone = running.infer(name, records[:1], timeout=120)
        pipeline.undeploy()
    assert answer.status_code == 200, answer.text
    rows = [row["out"] for row in answer.json()]
    first = alone.json()[0]["out"]
    for field, values in answers.items():
        found = [row[field] for row in rows]
        assert near(found, values), (field, str(found)[:400], str(values)[:400])
        assert near(first[field], values[0]), field


def near(found: Any, expected: Any) -> bool:
    """Whether two answers are the same, but for rounding."""
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(near, found, expected))
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(near(found[name], expected[name]) for name in expected)
    if isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-4, abs_tol=1e-6)
    return bool(found == expected)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_model_answers_as_the_pipeline_of_its_task(
    task: str, written: tuple[Path, list[Any]], shared_platform: Platform
) -> None:
    folder, said = written
    cases = [case for case in said if case[0] == task]
    assert cases
    for case in cases:
        check_answers(shared_platform, folder, case)


@pytest.mark.parametrize("task", LOST)
def test_release_5_answers_as_the_pipelines_that_it_lost(
    task: str,
    written: tuple[Path, list[Any]],
    store: EnvironmentStore,
    tmp_path: Path,
    shared_platform: Platform,
) -> None:
    folder, said = written
    built(store, 5)
    shutil.copytree(folder / task, tmp_path / task)
    config = tmp_path / task / "config.json"
    release = RELEASES[5][0].partition("==")[2]
    config.write_text(json.dumps({**json.loads(config.read_text()), "transformers_version": release}))
    check_answers(shared_platform, tmp_path, [case for case in said if case[0] == task][-1])


def test_what_a_task_does_not_take_is_an_error_of_the_upload(
    written: tuple[Path, list[Any]], shared_platform: Platform
) -> None:
    with shared_platform.client() as client:
        version = client.upload_model(
            "warm",
            written[0] / "feature-extraction",
            input_schema=load_schema("inputs: string; temperature: float64", which="input"),
            output_schema=load_schema("output: float64[*,32]", which="output"),
        )
        assert version.status() == "error"
        summary = version.error_summary()
    assert summary is not None
    assert summary.startswith("feature-extraction does not take the input 'temperature': its inputs are inputs")
