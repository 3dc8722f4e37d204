"""Folders of Hugging Face: their task, the environment that they need, and why they are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from trivet.domain.frameworks import FRAMEWORKS, HUGGING_FACE, Framework
from trivet.domain.package import ModelSettings, Package
from trivet.domain.schema_format import format_schema
from trivet.errors import BadPackage
from trivet.packaging import open_package
from trivet.packaging.frameworks.hugging_face import RELEASES
from trivet.sdk.packing import as_file, guess_framework
from trivet_worker.hugging_face_tasks import TASKS, tasks_of_class

BERT = {"architectures": ["BertForSequenceClassification"], "model_type": "bert", "transformers_version": "4.40.1"}
WEIGHTS = {"model.safetensors": b"weights"}
STEP = b"def process_data(input_data):\n    return input_data\n"


def folder_of(folder: Path, files: dict[str, Any]) -> Path:
    root = folder / "package"
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return root


def opened(folder: Path, files: dict[str, Any], *, framework: str | None = None, trust: bool = False) -> Package:
    settings = ModelSettings(framework=None if framework is None else Framework(framework), trust=trust)
    return open_package(folder_of(folder, files), store=folder / "store", settings=settings)


def test_each_task_is_a_framework_and_all_share_one_row() -> None:
    assert [each.removeprefix("hugging-face-") for each in HUGGING_FACE] == list(TASKS)
    assert len({FRAMEWORKS[each] for each in HUGGING_FACE}) == 1


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("BertForSequenceClassification", ["sentiment-analysis", "text-classification", "zero-shot-classification"]),
        ("T5ForConditionalGeneration", ["summarization", "translation"]),
        ("MarianMTModel", ["translation"]),
        ("WhisperForConditionalGeneration", ["automatic-speech-recognition"]),
        ("VisionEncoderDecoderModel", ["image-to-text"]),
        ("GPT2LMHeadModel", ["text-generation"]),
        ("GitForCausalLM", ["image-to-text"]),
        ("BertModel", ["feature-extraction"]),
        ("CLIPModel", ["zero-shot-image-classification"]),
        ("DetrForObjectDetection", ["object-detection"]),
        ("OwlViTForObjectDetection", ["zero-shot-object-detection"]),
        ("StableDiffusionXLPipeline", ["stable-diffusion-text-2-img"]),
        ("BertForMaskedLM", []),
    ],
)
def test_a_class_has_the_tasks_of_its_longest_ending(name: str, tasks: list[str]) -> None:
    assert tasks_of_class(name) == tasks


@pytest.mark.parametrize("above", ["", "model/"], ids=["root", "one folder"])
def test_the_task_is_that_of_the_class(tmp_path: Path, above: str) -> None:
    files = {f"{above}config.json": BERT, f"{above}model.safetensors": b"weights", f"{above}tokenizer.json": {}}
    package = opened(tmp_path, files)
    assert package.framework is Framework.HUGGING_FACE_TEXT_CLASSIFICATION
    assert package.contents.files["text-classification"].endswith("config.json")
    assert package.contents.requirements == RELEASES[4]
    assert package.contents.notes == ()
    assert format_schema(package.contents.input_schema) == "inputs: string"
    assert format_schema(package.contents.output_schema) == "label: string[]; score: float64[]"


@pytest.mark.parametrize(
    ("config", "candidates"),
    [
        ({"architectures": ["BartForConditionalGeneration"]}, ["summarization", "translation"]),
        ({**BERT, "label2id": {"ENTAILMENT": 0}}, ["text-classification", "zero-shot-classification"]),
    ],
    ids=["texts", "entailment"],
)
def test_a_class_with_several_tasks_is_an_error_that_lists_them(
    tmp_path: Path, config: dict[str, Any], candidates: list[str]
) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"config.json": config, **WEIGHTS})
    flags = " or ".join(f"--framework hugging-face-{each}" for each in candidates)
    assert caught.value.what == "'package' is a Hugging Face model for more than one task"
    assert caught.value.fix == f"choose with {flags}, or with framework in trivet.yaml"


def test_a_class_without_a_known_task_is_an_error_that_lists_all(tmp_path: Path) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"config.json": {"architectures": ["BertForMaskedLM"]}, **WEIGHTS})
    assert caught.value.fix is not None
    assert (
        caught.value.fix.count("--framework hugging-face-") == len(TASKS) - 2
    )  # neither images of texts nor sentiment analysis


def test_parameters_for_a_task_decide(tmp_path: Path) -> None:
    config = {"architectures": ["BartForConditionalGeneration"], "task_specific_params": {"summarization": {}}}
    assert opened(tmp_path, {"config.json": config, **WEIGHTS}).framework is Framework.HUGGING_FACE_SUMMARIZATION


@pytest.mark.parametrize("named", ["sentiment-analysis", "zero-shot-classification", "feature-extraction"])
def test_a_named_task_of_the_same_class_is_taken(tmp_path: Path, named: str) -> None:
    package = opened(tmp_path, {"config.json": BERT, **WEIGHTS}, framework=f"hugging-face-{named}")
    assert package.contents.files == {named: "config.json"}


def test_a_named_task_that_the_class_contradicts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"config.json": BERT, **WEIGHTS}, framework="hugging-face-translation")
    assert caught.value.what == (
        "'package' is a Hugging Face model for sentiment-analysis or text-classification, and not for translation"
    )
    assert caught.value.why == "config.json has the class BertForSequenceClassification"


@pytest.mark.parametrize(
    ("version", "first"),
    [
        ("4.57.6", RELEASES[4][0]),
        (None, RELEASES[4][0]),
        ("nonsense", RELEASES[4][0]),
        ("5.0.0", RELEASES[5][0]),
        ("5.99.1", "transformers>=5.99.1"),
    ],
)
def test_the_release_that_wrote_it_decides_the_environment(tmp_path: Path, version: str | None, first: str) -> None:
    contents = opened(tmp_path, {"config.json": {**BERT, "transformers_version": version}, **WEIGHTS}).contents
    assert contents.requirements[0] == first
    assert any("newer than 5.24.0" in note for note in contents.notes) == (version == "5.99.1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("transformers==4.34.1\n", ("transformers==4.34.1", "torch", "pillow")),
        ("torch==2.12.0\n", ("torch==2.12.0", *(each for each in RELEASES[4] if not each.startswith("torch")))),
    ],
    ids=["transformers", "torch"],
)
def test_what_a_requirements_file_names_counts(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    files = {"config.json": BERT, "requirements.txt": text.encode(), **WEIGHTS}
    assert opened(tmp_path, files).contents.requirements == expected


def test_a_pipeline_of_diffusers_is_found_by_its_index(tmp_path: Path) -> None:
    files = {
        "model_index.json": {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]},
        "text_encoder/config.json": {"architectures": ["CLIPTextModel"], "transformers_version": "5.1.0"},
        "unet/diffusion_pytorch_model.safetensors": b"weights",
    }
    package = opened(tmp_path, files)
    assert package.framework is Framework.HUGGING_FACE_STABLE_DIFFUSION_TEXT_2_IMG
    assert package.contents.requirements == RELEASES[5]


def test_a_pipeline_of_diffusers_does_nothing_else(tmp_path: Path) -> None:
    files = {"model_index.json": {"_class_name": "FluxPipeline"}, "transformer/a.safetensors": b"weights"}
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, files, framework="hugging-face-feature-extraction")
    assert caught.value.what == (
        "'package' is a Hugging Face model for stable-diffusion-text-2-img, and not for feature-extraction"
    )


@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
def test_code_of_its_own_needs_trust(tmp_path: Path, where: str) -> None:
    files = {"config.json": dict(BERT), "tokenizer_config.json": {}, "own.py": b"", **WEIGHTS}
    files[where]["auto_map"] = {"AutoModel": "own.Model"}
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, files)
    assert (caught.value.reason, caught.value.path) == ("custom_code", where)
    contents = opened(tmp_path, files, trust=True).contents
    assert contents.files["code"] == where
    assert contents.notes == (f"{where} is trusted: loading runs the code that it names",)


def test_foreign_parts_of_a_pipeline_of_diffusers_need_trust(tmp_path: Path) -> None:
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["my_unet", "Unet"]}
    with pytest.raises(BadPackage, match="has code of its own, which loading would run"):
        opened(tmp_path, {"model_index.json": index, "unet/a.safetensors": b""})


def test_pickled_weights_pass_with_the_safer_form_in_a_note(tmp_path: Path) -> None:
    contents = opened(tmp_path, {"config.json": BERT, "pytorch_model.bin": b"weights"}).contents
    assert len(contents.notes) == 1
    assert contents.notes[0].startswith("its weights are a pickle, of which only numbers are read: ")


def test_code_counts_before_the_files_of_a_model_that_it_loads(tmp_path: Path) -> None:
    package = opened(tmp_path, {"config.json": BERT, "step.py": STEP, **WEIGHTS})
    assert package.framework is Framework.PYTHON


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{", b"[]", b"\xff"], ids=["deep", "cut off", "list", "bytes"])
def test_a_config_that_is_not_one_is_not_a_model(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(BadPackage, match="There is no Hugging Face model in 'package'"):
        opened(tmp_path, {"config.json": text, **WEIGHTS}, framework="hugging-face-translation")


def test_a_config_without_weights_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="There is no Hugging Face model in 'package'"):
        opened(tmp_path, {"config.json": BERT}, framework="hugging-face-text-classification")


def test_the_sdk_finds_the_task_of_a_folder_and_of_its_zip(tmp_path: Path) -> None:
    root = folder_of(tmp_path, {"config.json": BERT, "sub/config.json": b"", **WEIGHTS})
    assert guess_framework(root) is Framework.HUGGING_FACE_TEXT_CLASSIFICATION
    with as_file(root) as (path, name):
        path.rename(zipped := tmp_path / name)
        assert guess_framework(zipped) is Framework.HUGGING_FACE_TEXT_CLASSIFICATION
        zipped.rename(path)
