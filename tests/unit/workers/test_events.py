"""What a worker tells, and the errors that become of it."""

import pytest

import trivet_worker.protocol
from trivet.errors import BadEnvironment, BadPackage, Internal, ModelFailed, Unavailable
from trivet.workers.events import (
    MOST_CHARACTERS,
    PROTOCOL,
    Failure,
    LoadFailed,
    Loading,
    WorkerReady,
    check_protocol,
    error_of,
    read_event,
    reason_for_clients,
)


def test_events_are_read():
    assert read_event(b'{"event": "loading"}\n') == Loading()
    assert read_event(b'{"event": "ready", "pid": 7, "python": "3.8.18", "seconds": 1.5}') == WorkerReady(
        7, "3.8.18", 1.5
    )
    assert isinstance(read_event(b'{"event":"failed","error":{"reason":"r","type":"t","message":"m"}}'), LoadFailed)


def test_an_invalid_event_is_our_own_fault():
    with pytest.raises(Internal, match="not an event"):
        read_event(b"hello\n")


def test_a_failing_import_is_reported_in_full():
    failure = Failure(reason="import_failed", type="NameError", message="name 'x' is not defined", path="a.py:3")
    error = error_of(failure, name="ccfraud", adapter="custom", tail="    noise")
    assert isinstance(error, BadPackage)
    assert str(error) == (
        "a module of ccfraud fails on import: NameError: name 'x' is not defined\n"
        "  its log ends with\n"
        "    noise\n"
        "  at  a.py:3\n"
        "  fix fix the module: it must import in the environment of requirements.txt"
    )


@pytest.mark.parametrize(
    ("reason", "type_", "kind"),
    [
        ("load_failed", "OSError", ModelFailed),
        ("load_failed", "PackageError", BadPackage),
        ("import_failed", "PackageError", BadPackage),
        ("worker_failed", "ImportError", BadEnvironment),
    ],
)
def test_each_failure_has_its_kind(reason, type_, kind):
    assert type(error_of(Failure(reason=reason, type=type_, message="m"), name="n", adapter="custom", tail="")) is kind


@pytest.mark.parametrize(
    ("adapter", "fix"),
    [
        ("custom", "run the builder's `create` in an environment from the same requirements.txt"),
        ("python", "import the step's module in an environment from the same requirements.txt"),
        ("of another release", "load it in an environment from the same requirements.txt"),
    ],
)
def test_a_failed_load_says_what_its_framework_says(adapter, fix):
    failure = Failure(reason="load_failed", type="OSError", message="m")
    assert error_of(failure, name="n", adapter=adapter, tail="").fix == fix


@pytest.mark.parametrize("reason", ["load_failed", "import_failed"])
def test_what_the_worker_knows_of_the_cause_is_the_fix(reason):
    failure = Failure(reason=reason, type="OSError", message="m", fix="open it elsewhere")
    assert error_of(failure, name="n", adapter="custom", tail="").fix == "open it elsewhere"


@pytest.mark.parametrize(
    ("adapter", "fix"),
    [
        ("python", "fix the package: a Python step has 'def process_data(input_data)'"),
        ("of another release", "fix the package"),
    ],
)
def test_a_wrong_package_names_what_its_framework_needs(adapter, fix):
    failure = Failure(reason="load_failed", type="PackageError", message="m")
    assert error_of(failure, name="n", adapter=adapter, tail="").fix == fix


def test_platform_and_worker_of_one_release_speak_one_protocol():
    assert PROTOCOL == trivet_worker.protocol.PROTOCOL
    check_protocol(WorkerReady(7, "3.8.18", 1.5, PROTOCOL), name="ccfraud")


@pytest.mark.parametrize(
    ("line", "spoken"),
    [
        (b'{"event": "ready", "pid": 7, "python": "3.8.18", "seconds": 1.5}', 1),
        (b'{"event": "ready", "pid": 7, "python": "3.8.18", "seconds": 1.5, "protocol": 9}', 9),
    ],
)
def test_a_worker_of_another_release_is_refused(line, spoken):
    with pytest.raises(BadEnvironment) as caught:
        check_protocol(read_event(line), name="ccfraud")
    assert caught.value.reason == "other_protocol"
    assert str(caught.value) == (
        "the worker of ccfraud is of another release than this platform: "
        f"it speaks version {spoken} of the worker protocol, and this platform version {PROTOCOL}\n"
        "  fix install trivet and trivet-worker of the same release"
    )


def test_a_worker_refuses_a_platform_of_another_release():
    line = b'{"socket": "/tmp/none", "what else": "was there"}'
    with pytest.raises(trivet_worker.protocol.OtherProtocol) as caught:
        trivet_worker.protocol.parse_config(line)
    failure = Failure(reason="worker_failed", type="OtherProtocol", message=str(caught.value))
    assert str(error_of(failure, name="ccfraud", adapter="custom", tail="")) == (
        "the worker of ccfraud is of another release than this platform: "
        f"the platform speaks version 1 of the worker protocol, and the worker version {PROTOCOL}\n"
        "  fix install trivet and trivet-worker of the same release"
    )


@pytest.mark.parametrize(
    ("why", "shown"),
    [
        ("exit code 1; its log ends with\n    a row of others", "exit code 1"),
        ("ValueError: no\n  its log ends with\n    a row of others", "ValueError: no"),
        ("its log ends with\n    a row of others", None),
        ("exit code 1; its log is empty", "exit code 1"),
        (None, None),
    ],
)
def test_clients_see_a_failed_start_without_the_log(why, shown):
    error = ModelFailed("it cannot be loaded", why=why, fix="fix it", path="a.py:3", reason="load_failed")
    assert reason_for_clients(error) == (f"it cannot be loaded: {shown}" if shown else "it cannot be loaded")


def test_the_reason_that_clients_see_is_one_bounded_line():
    assert reason_for_clients(Unavailable("it ended", why="a line\nanother")) == "it ended: a line"
    assert len(reason_for_clients(Unavailable("it ended", why="x" * 10_000))) == MOST_CHARACTERS


@pytest.mark.parametrize(
    ("module", "fix"),
    [
        ("sklearn.linear_model", "add scikit-learn to requirements.txt: it holds the module sklearn"),
        (
            "mine",
            "add the distribution that holds the missing module to requirements.txt, or the module to the package",
        ),
    ],
)
def test_a_missing_module_names_what_to_add(module, fix):
    failure = Failure(reason="import_failed", type="ModuleNotFoundError", message=f"No module named '{module}'")
    assert error_of(failure, name="m", adapter="custom", tail="").fix == fix
