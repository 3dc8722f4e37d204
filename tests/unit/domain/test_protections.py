"""A worker's report in words."""

from trivet.domain.protections import protections_of


def test_nothing_is_closed_without_a_sandbox() -> None:
    found = protections_of(())
    assert (found.landlock, found.own_user, found.closed) == (0, False, ())
    assert found.sentence == (
        "models have the rights of the platform's user: they are not kept to their own files by Landlock"
    )


def test_a_kernel_closes_what_its_landlock_covers() -> None:
    old, newer, new = (protections_of([f"landlock {abi}", "seccomp"]) for abi in (1, 3, 7))
    assert "files of others" in old.closed
    assert "truncation of files" in old.open
    assert "truncation of files" in newer.closed
    assert {"signals", "abstract sockets"} <= set(newer.open)
    assert new.open == ("modes of files and priorities of processes", "network")


def test_all_is_closed_to_a_user_of_its_own_without_the_network() -> None:
    found = protections_of(["own user", "landlock 7", "own /tmp", "seccomp", "no network"])
    assert found.open == ()
    assert found.sentence == (
        "models open only their own files and a /tmp of their own (Landlock 7), each as a user of its own; "
        "open to them: nothing"
    )


def test_a_worker_without_a_tmp_of_its_own_may_not_use_tmp() -> None:
    found = protections_of(["own user", "landlock 7", "seccomp", "no network"])
    assert not found.own_tmp
    assert found.sentence.startswith("models open only their own files, none in /tmp (Landlock 7), ")


def test_the_network_alone_can_be_closed() -> None:
    found = protections_of(["seccomp", "no network"])
    assert found.sentence == (
        "models have the rights of the platform's user: they are not kept to their own files by Landlock; "
        "closed to them: keys and limits of other processes; network"
    )
