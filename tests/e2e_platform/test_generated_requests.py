"""Both listeners of a platform answer what is generated from their own descriptions as these say, and without a fault."""

from pathlib import Path

import pytest
import requests

from trivet.domain.schema import parse_schema
from trivet_tests.generated_requests import check_described_answers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_both_listeners_answer_generated_requests_as_described(platform, times, step_times, tmp_path: Path):
    platform.deploy("one", platform.upload("native", times(3)))
    # Without nulls: the step would raise on them, which is an error of the model.
    schemas = dict.fromkeys(["input_schema", "output_schema"], parse_schema("x: float32[2]"))
    platform.deploy("two", platform.upload("step", step_times(2), framework="python", **schemas))
    before = {process.pid for process in platform.processes()}
    check_described_answers(platform.infer_url, tmp_path)
    assert platform.infer("two", [{"x": [1, 2]}]).json()[0]["out"] == {"x": [2.0, 4.0]}
    assert {process.pid for process in platform.processes()} == before
    check_described_answers(platform.control_url, tmp_path, token=platform.token)
    assert requests.get(f"{platform.control_url}/readyz", timeout=60).status_code == 200
    assert " ERROR " not in platform.log()
