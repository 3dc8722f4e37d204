"""What a worker tells, and the errors that become of it."""

import pytest

from trivet.errors import BadEnvironment, BadPackage, Internal, ModelFailed
from trivet.workers.events import Failed, Failure, Loading, Ready, error_of, read_event


def test_events_are_read():
    assert read_event(b'{"event": "loading"}\n') == Loading()
    assert read_event(b'{"event": "ready", "pid": 7, "python": "3.8.18", "seconds": 1.5}') == Ready(7, "3.8.18", 1.5)
    assert isinstance(read_event(b'{"event":"failed","error":{"reason":"r","type":"t","message":"m"}}'), Failed)


def test_what_is_no_event_is_our_own_fault():
    with pytest.raises(Internal, match="no event"):
        read_event(b"hello\n")


def test_a_failing_import_is_told_in_full():
    failure = Failure(reason="import_failed", type="NameError", message="name 'x' is not defined", path="a.py:3")
    error = error_of(failure, name="ccfraud", tail="    noise")
    assert isinstance(error, BadPackage)
    assert str(error) == (
        "a module of ccfraud fails on import: NameError: name 'x' is not defined\n"
        "  its log ends with\n"
        "    noise\n"
        "  at  a.py:3\n"
        "  fix mend the module: it must import in the environment that requirements.txt describes"
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
    assert type(error_of(Failure(reason=reason, type=type_, message="m"), name="n", tail="")) is kind
