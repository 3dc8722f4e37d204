"""Requests that schemathesis makes of an API's own description."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

__all__ = ["check_described_answers"]

PROGRAM = Path(sys.executable).parent / "schemathesis"
ON_ERROR = "on_error"
REJECTS = "negative_data_rejection"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    REJECTS,
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
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    document = requests.get(f"{url}/openapi.json", headers=headers, timeout=60).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    if any(ON_ERROR in names_of(operation) for operation in operations):
        # Rows that do not fit the schema are answered there: each has its error.
        run(url, folder, document, headers, examples, checks=[each for each in CHECKS if each != REJECTS])
        for operation in operations:
            parameters = operation.get("parameters", ())
            operation["parameters"] = [each for each in parameters if each["name"] != ON_ERROR]
    run(url, folder, document, headers, examples, checks=CHECKS)


def names_of(operation: dict[str, Any]) -> set[str]:
    return {parameter["name"] for parameter in operation.get("parameters", ())}


def run(
    url: str, folder: Path, document: Any, headers: dict[str, str], examples: int, *, checks: Sequence[str]
) -> None:
    (folder / "openapi.json").write_text(json.dumps(document))
    command = [PROGRAM, "run", "openapi.json", "--url", url, "--checks", ",".join(checks)]
    command += ["--max-examples", str(examples), "--continue-on-failure"]
    command += ["--seed", "20261129", "--generation-database", "none", "--no-shrink"]
    command += ["--request-timeout", "60", "--suppress-health-check", "all", "--warnings", "off", "--no-color"]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 generated" not in done.stdout
