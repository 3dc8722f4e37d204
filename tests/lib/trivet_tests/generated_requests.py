"""Requests that schemathesis makes of an API's own description."""

import subprocess
import sys
from pathlib import Path

__all__ = ["check_described_answers"]

PROGRAM = Path(sys.executable).parent / "schemathesis"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "allow_header_conformance",
)


def check_described_answers(url: str, folder: Path, *, token: str | None = None, examples: int = 25) -> None:
    """No request of any operation is a fault of the server, and each answer is as `/openapi.json` says.

    Args:
        url: of the listener.
        folder: for its files.
        token: goes with each request.
        examples: requests of each operation, beside those for its edge cases.
    """
    command = [PROGRAM, "run", f"{url}/openapi.json", "--checks", ",".join(CHECKS), "--max-examples", str(examples)]
    command += ["--seed", "20261129", "--generation-database", "none", "--no-shrink", "--continue-on-failure"]
    command += ["--request-timeout", "60", "--suppress-health-check", "all", "--warnings", "off", "--no-color"]
    if token is not None:
        command += ["--header", f"Authorization: Bearer {token}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 generated" not in done.stdout
