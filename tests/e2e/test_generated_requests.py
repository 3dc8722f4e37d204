"""`trivet serve` answers what is generated from its own description as that says, and without a fault."""

import pytest

from trivet_tests.generated_requests import check_described_answers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_served_model_answers_generated_requests_as_described(shell, make, tmp_path):
    with shell.serve(make.step(tmp_path / "step")) as server:
        check_described_answers(server.url, tmp_path)
        assert server.outputs([{"x": [1, 2, 3]}]) == [{"y": 6.0}]
