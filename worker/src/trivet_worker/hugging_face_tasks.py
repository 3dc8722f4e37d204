"""The tasks of Hugging Face models: what each takes and answers. The platform reads this table too, to find a folder's task."""

from types import MappingProxyType
from typing import Dict, Mapping, NamedTuple, Sequence, Tuple

__all__ = ["TASKS", "Task", "tasks_of_class"]

Fields = Mapping[str, str]
"""Names of fields, and their types as the text of a schema has them."""

NONE: Fields = MappingProxyType({})
IMAGE = "int64[*,*,3]"
SOUND = "float32[]"
TEXT: Fields = {"inputs": "string"}
LABELLED: Fields = {"label": "string[]", "score": "float64[]"}
GENERATED: Fields = {"return_text": "bool", "return_tensors": "bool", "clean_up_tokenization_spaces": "bool"}


class Task(NamedTuple):
    """One task.

    Attributes:
        pipeline: the pipeline of transformers; empty if a pipeline of diffusers answers.
        inputs: what a row must have.
        answers: the fields of an answer, …
        classes: ends of the names of the classes that do it, as a config.json has them in `architectures`.
        options: what a row may have besides.
        more: … and those that only some options make.
        others: where inputs of other names go: to the model's `generate`, or to its `tokenizer`. Empty: there are none.
        several: a row has several answers, such as one for each label: a field that is a list has all of them.
    """

    pipeline: str
    inputs: Fields
    answers: Fields
    classes: "Tuple[str, ...]"
    options: Fields = NONE
    more: Fields = NONE
    others: str = ""
    several: bool = True


CLASSIFIED = Task(
    pipeline="text-classification",
    inputs=TEXT,
    options={"top_k": "int64", "function_to_apply": "string"},
    answers=LABELLED,
    classes=("ForSequenceClassification",),
    others="tokenizer",
)

TASKS: "Dict[str, Task]" = {
    "automatic-speech-recognition": Task(
        pipeline="automatic-speech-recognition",
        inputs={"inputs": SOUND},
        options={"return_timestamps": "string"},
        answers={"text": "string"},
        more={"chunks": "struct{text: string?, timestamp: float32[]?}[]"},
        classes=(
            "ForCTC",
            "ForSpeechSeq2Seq",
            "SpeechEncoderDecoderModel",
            "WhisperForConditionalGeneration",
            "MoonshineForConditionalGeneration",
            "Speech2TextForConditionalGeneration",
        ),
        several=False,
    ),
    "feature-extraction": Task(
        pipeline="feature-extraction",
        inputs=TEXT,
        answers={"output": "float64[*,*]"},
        classes=("Model",),
        several=False,
    ),
    "image-classification": Task(
        pipeline="image-classification",
        inputs={"inputs": IMAGE},
        options={"top_k": "int64"},
        answers=LABELLED,
        classes=("ForImageClassification", "ForImageClassificationWithTeacher"),
    ),
    "image-segmentation": Task(
        pipeline="image-segmentation",
        inputs={"inputs": IMAGE},
        options={"threshold": "float64", "mask_threshold": "float64", "overlap_mask_area_threshold": "float64"},
        answers={**LABELLED, "mask": "int64[*,*,*]"},
        classes=("ForSemanticSegmentation", "ForUniversalSegmentation", "ForInstanceSegmentation", "ForSegmentation"),
    ),
    "image-to-text": Task(
        pipeline="image-to-text",
        inputs={"inputs": IMAGE},
        answers={"generated_text": "string[]"},
        classes=(
            "VisionEncoderDecoderModel",
            "BlipForConditionalGeneration",
            "Blip2ForConditionalGeneration",
            "Pix2StructForConditionalGeneration",
            "GitForCausalLM",
        ),
        others="generate",
    ),
    "object-detection": Task(
        pipeline="object-detection",
        inputs={"inputs": IMAGE},
        options={"threshold": "float64"},
        answers={**LABELLED, "box": "int64[*,4]"},
        classes=("ForObjectDetection",),
    ),
    "question-answering": Task(
        pipeline="question-answering",
        inputs={"question": "string", "context": "string"},
        options={
            "top_k": "int64",
            "doc_stride": "int64",
            "max_answer_len": "int64",
            "max_seq_len": "int64",
            "max_question_len": "int64",
            "handle_impossible_answer": "bool",
            "align_to_words": "bool",
        },
        answers={"score": "float64", "start": "int64", "end": "int64", "answer": "string"},
        classes=("ForQuestionAnswering", "ForQuestionAnsweringSimple"),
    ),
    "sentiment-analysis": CLASSIFIED,
    "stable-diffusion-text-2-img": Task(
        pipeline="",
        inputs={"prompt": "string"},
        options={
            "height": "int64",
            "width": "int64",
            "num_inference_steps": "int64",
            "guidance_scale": "float64",
            "negative_prompt": "string",
            "num_images_per_prompt": "string",
            "eta": "float64",
        },
        answers={"images": IMAGE},
        classes=("StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline"),
    ),
    "summarization": Task(
        pipeline="summarization",
        inputs=TEXT,
        options=GENERATED,
        answers={"summary_text": "string"},
        more={"summary_token_ids": "int64[]"},
        classes=("ForConditionalGeneration", "EncoderDecoderModel", "PegasusForConditionalGeneration"),
        others="generate",
    ),
    "text-classification": CLASSIFIED,
    "text-generation": Task(
        pipeline="text-generation",
        inputs=TEXT,
        options={
            **GENERATED,
            "return_full_text": "bool",
            "prefix": "string",
            "handle_long_generation": "string",
        },
        answers={"generated_text": "string[]"},
        more={"generated_token_ids": "int64[*,*]"},
        classes=("ForCausalLM", "LMHeadModel"),
        others="generate",
    ),
    "translation": Task(
        pipeline="translation",
        inputs=TEXT,
        options={**GENERATED, "src_lang": "string", "tgt_lang": "string"},
        answers={"translation_text": "string"},
        more={"translation_token_ids": "int64[]"},
        classes=(
            "ForConditionalGeneration",
            "EncoderDecoderModel",
            "MarianMTModel",
            "FSMTForConditionalGeneration",
            "M2M100ForConditionalGeneration",
            "NllbMoeForConditionalGeneration",
        ),
        others="generate",
    ),
    "zero-shot-classification": Task(
        pipeline="zero-shot-classification",
        inputs={**TEXT, "candidate_labels": "string[]"},
        options={"hypothesis_template": "string", "multi_label": "bool"},
        answers={"sequence": "string", "scores": "float64[]", "labels": "string[]"},
        classes=("ForSequenceClassification",),
        several=False,
    ),
    "zero-shot-image-classification": Task(
        pipeline="zero-shot-image-classification",
        inputs={"inputs": IMAGE, "candidate_labels": "string[]"},
        options={"hypothesis_template": "string"},
        answers=LABELLED,
        classes=("CLIPModel", "SiglipModel", "Siglip2Model", "AlignModel", "AltCLIPModel"),
    ),
    "zero-shot-object-detection": Task(
        pipeline="zero-shot-object-detection",
        inputs={"images": IMAGE, "candidate_labels": "string[]"},
        options={"threshold": "float64", "top_k": "int64"},
        answers={**LABELLED, "box": "int64[*,4]"},
        classes=(
            "OwlViTForObjectDetection",
            "Owlv2ForObjectDetection",
            "GroundingDinoForObjectDetection",
            "OmDetTurboForObjectDetection",
        ),
    ),
}
"""By the name that follows `hugging-face-` in the framework's."""


def tasks_of_class(name: str) -> "Sequence[str]":
    """The tasks of a class: the longest ending decides, because `OwlViTForObjectDetection` ends with `ForObjectDetection` too."""
    ends = {
        task: max((len(end) for end in row.classes if name.endswith(end)), default=0) for task, row in TASKS.items()
    }
    longest = max(ends.values())
    return [task for task, size in ends.items() if size == longest] if longest else []
