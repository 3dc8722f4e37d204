"""What uv says, made into errors that say how to mend it."""

import errno
from pathlib import Path

import pytest

from trivet.envs.failures import Circumstances, disk_error, explanation, is_about_python, uv_error

HERE = Circumstances(folder=Path("/envs"), python="3.11.7", there="3.8.18, 3.11.7", worker="numpy and pyarrow")
OFFLINE = Circumstances(folder=Path("/envs"), python="3.11.7", offline=True)
WHEELS = Circumstances(folder=Path("/envs"), python="3.11.7", offline=True, wheels=Path("/wheels"))
NO_SOLUTION = "error: No solution found when resolving dependencies\n  cause: "


@pytest.mark.parametrize(
    ("stderr", "about", "reason"),
    [
        (NO_SOLUTION + "Because x was not found in the package registry and you require x", HERE, "no_such_package"),
        (NO_SOLUTION + "Because there is no version of x==9 and you require x==9", HERE, "no_such_version"),
        (NO_SOLUTION + "Because you require pyarrow==10 and pyarrow>=12, we can conclude", HERE, "no_solution"),
        (
            NO_SOLUTION + "Because x==1 has no wheels with a matching Python ABI tag (e.g., `cp311`)",
            HERE,
            "python_mismatch",
        ),
        (NO_SOLUTION + "Because x==1.0 requires Python >=3.12 and only x==1.0 is available", HERE, "python_mismatch"),
        (NO_SOLUTION + "Because x was not found in the cache and you require x", OFFLINE, "not_in_cache"),
        (NO_SOLUTION + "Because x was not found in the cache and you require x", HERE, "not_in_cache"),
        (NO_SOLUTION + "Because x was not found in the provided package locations", WHEELS, "not_in_wheels"),
        (NO_SOLUTION + "Because there is no version of x==9 and you require x==9", WHEELS, "not_in_wheels"),
        ("error: Failed to fetch: https://h/\n  cause: dns error: failed to lookup", HERE, "index_unreachable"),
        (
            "error: Failed to fetch: https://h/\n  cause: HTTP status client error (403 Forbidden)",
            HERE,
            "index_refused",
        ),
        ("error: Failed to fetch\n  cause: invalid peer certificate: UnknownIssuer", HERE, "index_untrusted"),
        ("error: Failed to write\n  cause: No space left on device (os error 28)", HERE, "disk_full"),
        ("error: Hash mismatch for `x==1.0`\nExpected: sha256:aa\nComputed: sha256:bb", HERE, "hash_mismatch"),
        ("error: Failed to build `x==1.0`\n  cause: The build backend returned an error", HERE, "build_failed"),
        ("\nit was killed by SIGXFSZ", HERE, "disk_full"),
        ("\nit was killed by SIGKILL", HERE, "environment_failed"),
        ("", HERE, "environment_failed"),
    ],
)
def test_each_failure_has_a_reason_and_a_remedy(stderr, about, reason):
    error = uv_error(stderr, about=about)
    assert error.reason == reason
    assert error.what == "Could not pip install user provided requirements.txt"
    assert error.fix
    assert "{" not in error.fix


def test_an_error_reads_well():
    stderr = (
        NO_SOLUTION + "Because x==1 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require x==1."
    )
    assert str(uv_error(stderr, about=HERE)) == (
        "Could not pip install user provided requirements.txt: "
        "x==1 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require x==1\n"
        "  fix ask for a Python that the package has files for (--python, or `python:` in trivet.yaml), or change its "
        "version; this was Python 3.11.7, and there are 3.8.18, 3.11.7"
    )


@pytest.mark.parametrize(
    ("stderr", "first"),
    [
        (
            NO_SOLUTION + "Because a==1 depends on numpy<2 and you require a==1, we can conclude that numpy<2.\n"
            "And because you require numpy==2, we can conclude that your requirements are unsatisfiable.",
            "a==1 depends on numpy<2 and you require a==1; you require numpy==2",
        ),
        (
            (
                "error: Failed to build `x==1.0`\n  cause: The build backend returned an error\n  [stderr]\n"
                "  ValueError: first\n  ModuleNotFoundError: No module named 'pkg_resources'\nhint: pin it"
            ),
            "x==1.0 does not build: ModuleNotFoundError: No module named 'pkg_resources'",
        ),
    ],
    ids=["conflict", "build"],
)
def test_the_first_line_of_an_error_says_the_cause(stderr, first):
    said, _, rest = str(uv_error(stderr, about=HERE).why).partition("\n")
    assert said == first
    assert rest.endswith(explanation(stderr).partition("\n")[2])


def test_progress_is_not_an_explanation():
    stderr = (
        "Resolved 3 packages in 2ms\nDownloading numpy (16.0MiB)\n Downloaded numpy\nerror: it broke\n  cause: a pipe\n"
    )
    assert explanation(stderr) == "it broke\na pipe"


def test_a_long_explanation_keeps_its_start_and_its_end():
    text = explanation("error: first\n" + "x" * 10_000 + "\nlast")
    assert text.startswith("first")
    assert text.endswith("last")
    assert len(text) < 2100


def test_what_took_too_long_says_so():
    error = uv_error("", about=HERE, timed_out=True)
    assert (error.reason, error.why) == ("timed_out", "it took too long\nuv printed no reason")


@pytest.mark.parametrize(
    ("stderr", "about_python"),
    [
        (NO_SOLUTION + "Because x==1 has no wheels with a matching Python version tag (e.g., `cp313`)", True),
        (NO_SOLUTION + "Because the current Python version (3.11.7) does not satisfy Python>=3.12", True),
        (NO_SOLUTION + "Because x was not found in the package registry", False),
        ("error: Failed to build `numpy==1.21.0`", True),
        ("error: Failed to fetch: https://h/", False),
    ],
)
def test_another_python_is_tried_only_where_it_may_help(stderr, about_python):
    assert is_about_python(stderr) is about_python


def test_a_full_disk_is_named():
    error = disk_error(OSError(errno.ENOSPC, "No space left on device", "/envs/tmp/x"), folder=Path("/envs"))
    assert str(error) == (
        "The environments folder /envs is not writable: no space is left on the device\n"
        "  at  /envs/tmp/x\n"
        "  fix make room there, or choose another one"
    )
    denied = disk_error(PermissionError(errno.EACCES, "Permission denied", "/envs"), folder=Path("/envs"))
    assert (denied.why, denied.reason) == ("permission denied", "disk_failed")
