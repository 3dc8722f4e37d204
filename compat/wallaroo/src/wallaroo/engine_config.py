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
        """The accelerator with its own configuration, which is not supported yet.

        Raises:
            NotThereYetError: always.
        """
        raise NotThereYetError("an accelerator's configuration is not supported yet", why=f"{config!r}")


QaicConfig = absent("QaicConfig is")


def on(accel: Acceleration | str | None) -> str:
    """An accelerator in Trivet's form; by default none.

    Raises:
        NotThereYetError: Trivet does not support it yet.
    """
    given = "none" if accel is None else str(accel)
    if given == Acceleration.AIO and given not in {each.value for each in trivet.Acceleration}:
        raise NotThereYetError("Acceleration.AIO is not supported yet", fix="leave accel out", path="accel")
    return given
