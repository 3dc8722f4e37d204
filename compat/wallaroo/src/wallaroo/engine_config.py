"""Processors and accelerators, by the reference's names."""

from enum import StrEnum
from typing import Any, NoReturn

import trivet
from wallaroo.object import NotThereYetError, absent

__all__ = ["Acceleration", "Architecture", "QaicConfig", "on"]


class Architecture(StrEnum):
    """The processor that a model is meant for."""

    X86 = "x86"
    ARM = "arm"
    Power10 = "power10"


class Acceleration(StrEnum):
    """The accelerator that a model is meant for."""

    _None = "none"
    AIO = "aio"
    CUDA = "cuda"
    Jetson = "jetson"
    OpenVINO = "openvino"
    QAIC = "qaic"

    def with_config(self, config: Any) -> NoReturn:
        """The accelerator with a configuration of its own, which is not there yet.

        Raises:
            NotThereYetError: always.
        """
        raise NotThereYetError("an accelerator's configuration is not there yet", why=f"{config!r}")


QaicConfig = absent("QaicConfig is")


def on(accel: Acceleration | str | None) -> str:
    """An accelerator as Trivet takes it; none if none is said.

    Raises:
        NotThereYetError: Trivet does not know it yet.
    """
    said = "none" if accel is None else str(accel)
    if said == Acceleration.AIO and said not in {each.value for each in trivet.Acceleration}:
        raise NotThereYetError("Acceleration.AIO is not there yet", fix="leave accel out", path="accel")
    return said
