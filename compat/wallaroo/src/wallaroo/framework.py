"""Frameworks, by the reference's names."""

from enum import StrEnum

import trivet
from trivet.domain.frameworks import NOT_YET
from wallaroo.object import LANGUAGE_MODELS, NotThereYetError, absent

__all__ = ["CustomConfig", "Framework", "VLLMConfig", "taken"]


class Framework(StrEnum):
    """The framework of a model. An upload with one that Trivet does not support yet raises an error."""

    ONNX = "onnx"
    CUSTOM = "custom"
    PYTHON = "python"
    TENSORFLOW = "tensorflow"
    KERAS = "keras"
    PYTORCH = "pytorch"
    SKLEARN = "sklearn"
    XGBOOST = "xgboost"
    VLLM = "vllm"
    SGLANG = "sglang"
    HUGGING_FACE_AUTOMATIC_SPEECH_RECOGNITION = "hugging-face-automatic-speech-recognition"
    HUGGING_FACE_FEATURE_EXTRACTION = "hugging-face-feature-extraction"
    HUGGING_FACE_IMAGE_CLASSIFICATION = "hugging-face-image-classification"
    HUGGING_FACE_IMAGE_SEGMENTATION = "hugging-face-image-segmentation"
    HUGGING_FACE_IMAGE_TO_TEXT = "hugging-face-image-to-text"
    HUGGING_FACE_OBJECT_DETECTION = "hugging-face-object-detection"
    HUGGING_FACE_QUESTION_ANSWERING = "hugging-face-question-answering"
    HUGGING_FACE_SENTIMENT_ANALYSIS = "hugging-face-sentiment-analysis"
    HUGGING_FACE_STABLE_DIFFUSION_TEXT_2_IMG = "hugging-face-stable-diffusion-text-2-img"
    HUGGING_FACE_SUMMARIZATION = "hugging-face-summarization"
    HUGGING_FACE_TEXT_CLASSIFICATION = "hugging-face-text-classification"
    HUGGING_FACE_TEXT_GENERATION = "hugging-face-text-generation"
    HUGGING_FACE_TRANSLATION = "hugging-face-translation"
    HUGGING_FACE_ZERO_SHOT_CLASSIFICATION = "hugging-face-zero-shot-classification"
    HUGGING_FACE_ZERO_SHOT_IMAGE_CLASSIFICATION = "hugging-face-zero-shot-image-classification"
    HUGGING_FACE_ZERO_SHOT_OBJECT_DETECTION = "hugging-face-zero-shot-object-detection"
    # The reference also uses this spelling.
    Python = "python"
    PyTorch = "pytorch"


def taken(framework: Framework | str | None) -> str:
    """A framework in Trivet's form; by default ONNX.

    Raises:
        NotThereYetError: Trivet does not support it yet.
    """
    given = "onnx" if framework is None else str(framework)
    known = {each.value for each in trivet.Framework}
    if given not in known and given in {each.value for each in Framework}:
        raise NotThereYetError(f"Framework.{Framework(given).name} is not supported yet", fix=NOT_YET, path="framework")
    return given


CustomConfig = absent("CustomConfig is", fix="leave framework_config out: the package's trivet.yaml has its settings")
VLLMConfig = absent("VLLMConfig is", fix=LANGUAGE_MODELS)
