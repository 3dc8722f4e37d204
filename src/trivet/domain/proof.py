"""What a conversion to the native runtime was proved to answer."""

import msgspec

__all__ = ["Proof", "Refused"]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of its input that a model answers with an error, which its converted file would answer.

    Attributes:
        nan: whether it refuses what is not a number.
        beyond: it refuses numbers of this magnitude and above; None if it refuses none.
    """

    nan: bool = False
    beyond: float | None = None


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison of a model with its converted file.

    Attributes:
        equal: whether both gave the same answers.
        reason: what was found, as a clause: "the converted file answers row 3 otherwise".
        rows: how many were compared.
        largest: the largest difference of a number, relative as the tolerance is.
        tolerance: differences up to this count as equal.
        converter: its name and release.
        onnxruntime: the release that answered.
        refused: what the session has to refuse because the model does.
    """

    equal: bool
    reason: str
    rows: int = 0
    largest: float = 0.0
    tolerance: float = 0.0
    converter: str | None = None
    onnxruntime: str | None = None
    refused: Refused | None = None
