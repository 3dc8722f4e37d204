"""Which GPUs are found, and which of them a worker sees."""

from pathlib import Path

import pytest

from trivet.workers.devices import find_devices


def dev(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ("0", "1")),
        ("1", ("1",)),
        ("1,0", ("1", "0")),
        (" 0 , 1 ", ("0", "1")),
        ("0,2,1", ("0",)),
        ("0,-1,1", ("0",)),
        ("0,0,1", ("0",)),
        ("-1", ()),
        ("", ()),
        ("GPU-7a,MIG-1", ("GPU-7a", "MIG-1")),
    ],
)
def test_what_cuda_sees_is_found(tmp_path: Path, visible: str | None, found: tuple[str, ...]) -> None:
    dev(tmp_path, "nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null")
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert find_devices(environ, dev=tmp_path) == found


def test_the_only_device_of_a_container_is_number_0(tmp_path: Path) -> None:
    assert find_devices({}, dev=dev(tmp_path, "nvidia3", "nvidiactl")) == ("0",)


def test_without_a_driver_there_are_no_devices(tmp_path: Path) -> None:
    assert find_devices({"CUDA_VISIBLE_DEVICES": "0"}, dev=tmp_path) == ()
    assert find_devices({}, dev=tmp_path / "missing") == ()
