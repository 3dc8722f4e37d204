"""Processors and accelerators, by the reference's names."""

from enum import StrEnum
from typing import Any, NoReturn

from wallaroo.object import NotThereYetError, absent

__all__ = ["Acceleration", "Architecture", "QaicConfig"]


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
    ROCM = "rocm"

    def with_config(self, config: Any) -> NoReturn:
        """The accelerator with its own configuration, which is not supported yet.

        Raises:
            NotThereYetError: always.
        """
        raise NotThereYetError(
            "an accelerator's configuration is not supported yet",
            why=f"it is {config!r:.80}",
            fix="leave with_config out: sidekick_gpus says how many accelerators a model gets",
        )


QaicConfig = absent("QaicConfig is", fix="leave with_config out: no accelerator of that kind is used")
