"""Runs all benchmarks, one after another, and prints their reports: `make bench`."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = (
    "native_http.py",
    "frameworks.py",
    "isolated_http.py",
    "platform_http.py",
    "platform_many.py",
    "platform_start.py",
    "startup.py",
    "memory.py",
)


def main() -> None:
    """Each script is a process of its own; arguments are for one script at a time, so there are none here."""
    for script in SCRIPTS:
        print(f"==> {script}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, str(HERE / script)], check=True)


if __name__ == "__main__":
    main()
