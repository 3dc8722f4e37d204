"""`trivet doctor`: checks for problems of a platform."""

import os
import sys

from trivet.cli.options import HomeOption
from trivet.cli.output import print_json, show
from trivet.cli.platform_client import JsonOption
from trivet.settings import read_settings

__all__ = ["doctor"]

SHOWN = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check for common problems and print how to fix them. Changes nothing; the exit code is 1 if something is wrong.

    Examples:

      trivet doctor

      trivet doctor --json
    """
    from trivet.cli.examine import examine

    findings = []
    for finding in examine(read_settings(os.environ, home=home)):
        findings.append(finding)
        if as_json:
            continue
        show(f"{SHOWN[finding.verdict]} {finding.subject}: {finding.detail}")
        if finding.fix is not None and finding.verdict != "ok":
            show(f"     fix: {finding.fix}")
    ok = all(finding.verdict != "fail" for finding in findings)
    if as_json:
        shown = [
            {"subject": each.subject, "verdict": each.verdict, "detail": each.detail, "fix": each.fix}
            for each in findings
        ]
        print_json({"ok": ok, "findings": shown})
    sys.exit(0 if ok else 1)
