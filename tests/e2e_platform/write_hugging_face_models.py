"""Writes one tiny random model for each Hugging Face task, and prints what transformers' pipelines answer: run with their interpreter.

It prints a list of [task, input schema, output schema, rows, answers by output field].
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers as hf
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

warnings.simplefilter("ignore")
hf.logging.set_verbosity_error()
torch.manual_seed(0)
FOLDER = Path(sys.argv[1])
TEXT = "the a cat dog sat on mat is this example photo of good bad day night where ran and red blue . ? { } translate"
WORDS = TEXT.split(" ")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 37}
BERT = {**SMALL, "vocab_size": len(WORDS) + 4, "max_position_embeddings": 64, "initializer_range": 0.5}
BART = {
    "vocab_size": len(WORDS) + 4,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 300,
    "init_std": 0.5,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "decoder_start_token_id": 3,
    "forced_eos_token_id": 3,
}
VISION = {**SMALL, "image_size": 30, "patch_size": 6, "initializer_range": 0.5}
CHANNELS = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
rng = np.random.RandomState(0)
PICTURES = [rng.randint(0, 256, (24, 30, 3)).tolist(), rng.randint(0, 256, (24, 30, 3)).tolist()]
TEXTS = ["the cat sat on the mat .", "a dog ran and ran", "bad day"]
IMAGE = "int64[*,*,3]"
said = []


def words(*inputs):
    """A tokenizer of whole words; `inputs` are what it makes."""
    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate(SPECIAL + WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.decoder = decoders.WordPiece()
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIAL, strict=True))
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=made,
        **names,
        bos_token="[CLS]",
        eos_token="[SEP]",
        model_max_length=64,
        model_input_names=list(inputs or ("input_ids", "token_type_ids", "attention_mask")),
    )


def plain_words():
    """The same for models without types of tokens."""
    return words("input_ids", "attention_mask")


def save(task, *parts):
    """Write the parts of a model, and open its pipeline."""
    folder = FOLDER / task
    for part in parts:
        part.save_pretrained(folder)
    name = {"sentiment-analysis": "text-classification"}.get(task, task)
    return hf.pipeline(name, model=str(folder), device="cpu")


def tell(task, inputs, outputs, rows, answers):
    """Note what a task answers."""
    said.append([task, inputs, outputs, rows, {name: [answer[name] for answer in answers] for name in answers[0]}])


def labelled(*names):
    """The labels of a configuration."""
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def picture(rows):
    """An image of nested lists."""
    return Image.fromarray(np.array(rows, dtype=np.uint8))


def gathered(found):
    """Records of one row as lists by field."""
    return {name: [form(each[name]) for each in found] for name in found[0]}


def form(value):
    """A value in the form of the reference."""
    if isinstance(value, dict):
        return [value[side] for side in ("xmin", "ymin", "xmax", "ymax")]
    return np.asarray(value).astype(int).tolist() if isinstance(value, Image.Image) else value


def texts():
    """The tasks of texts without generation."""
    rows = [{"inputs": text} for text in TEXTS]
    model = hf.BertModel(hf.BertConfig(**BERT))
    pipe = save("feature-extraction", model, words())
    tell("feature-extraction", "inputs: string", "output: float64[*,32]", rows, [{"output": pipe(t)[0]} for t in TEXTS])

    model = hf.BertForSequenceClassification(hf.BertConfig(**BERT, **labelled("good", "bad", "neither")))
    pipe = save("text-classification", model, words())
    given = [
        {"inputs": t, "top_k": 2, "function_to_apply": "sigmoid", "max_length": 4, "truncation": True} for t in TEXTS
    ]
    found = [pipe(t, top_k=2, function_to_apply="sigmoid", max_length=4, truncation=True) for t in TEXTS]
    inputs = "inputs: string; top_k: int64; function_to_apply: string; max_length: int64; truncation: bool"
    tell(
        "text-classification", inputs, "label: string[2]; score: float64[2]", given, [gathered(each) for each in found]
    )
    pipe = save("sentiment-analysis", model, words())
    found = [pipe(t)[0] for t in TEXTS]
    tell("sentiment-analysis", "inputs: string", "label: string; score: float64", rows, found)

    model = hf.BertForSequenceClassification(
        hf.BertConfig(**BERT, **labelled("contradiction", "neutral", "entailment"))
    )
    pipe = save("zero-shot-classification", model, words())
    more = {"candidate_labels": ["good", "bad"], "hypothesis_template": "this is a {} day", "multi_label": True}
    inputs = "inputs: string; candidate_labels: string[2]; hypothesis_template: string; multi_label: bool"
    outputs = "sequence: string; scores: float64[2]; labels: string[2]"
    tell(
        "zero-shot-classification", inputs, outputs, [{**row, **more} for row in rows], [pipe(t, **more) for t in TEXTS]
    )

    model = hf.BertForQuestionAnswering(hf.BertConfig(**BERT))
    pipe = save("question-answering", model, words())
    long = "the dog ran and the cat sat on the red mat . this is a good day . where is the blue dog ?"
    given = [{"question": "where is the cat ?", "context": text} for text in (*TEXTS, long)]
    more = {
        "top_k": 1,
        "doc_stride": 4,
        "max_answer_len": 5,
        "max_seq_len": 20,
        "max_question_len": 9,
        "handle_impossible_answer": True,
        "align_to_words": False,
    }
    outputs = "score: float64; start: int64; end: int64; answer: string"
    inputs = "question: string; context: string"
    inputs += "; top_k: int64; doc_stride: int64; max_answer_len: int64; max_seq_len: int64; max_question_len: int64"
    inputs += "; handle_impossible_answer: bool; align_to_words: bool"
    tell(
        "question-answering",
        inputs,
        outputs,
        [{**row, **more} for row in given],
        [pipe(**row, **more) for row in given],
    )
    lists = "score: float64[]; start: int64[]; end: int64[]; answer: string[]"
    three = [{**row, "top_k": 3} for row in given]
    tell(
        "question-answering",
        "question: string; context: string; top_k: int64",
        lists,
        three,
        [gathered(pipe(**row)) for row in three],
    )


def generated():
    """The tasks that generate texts."""
    model = hf.BartForConditionalGeneration(hf.BartConfig(**BART))
    pipe = save("summarization", model, plain_words())
    row = {"return_text": True, "return_tensors": False, "clean_up_tokenization_spaces": True, "max_new_tokens": 6}
    inputs = "inputs: string; return_text: bool; return_tensors: bool; clean_up_tokenization_spaces: bool; max_new_tokens: int64"
    tell(
        "summarization",
        inputs,
        "summary_text: string",
        [{"inputs": t, **row} for t in TEXTS],
        [pipe(t, **row)[0] for t in TEXTS],
    )

    params = {"translation": {"prefix": "translate "}}
    model = hf.T5ForConditionalGeneration(
        hf.T5Config(
            vocab_size=len(WORDS) + 4,
            d_model=16,
            d_ff=16,
            d_kv=8,
            num_layers=1,
            num_heads=2,
            decoder_start_token_id=0,
            pad_token_id=0,
            eos_token_id=3,
            initializer_factor=10.0,
            task_specific_params=params,
        )
    )
    pipe = save("translation", model, plain_words())
    tell(
        "translation",
        "inputs: string; max_new_tokens: int64; num_beams: int64",
        "translation_text: string",
        [{"inputs": t, "max_new_tokens": 7, "num_beams": 2} for t in TEXTS],
        [pipe(t, max_new_tokens=7, num_beams=2)[0] for t in TEXTS],
    )

    model = hf.GPT2LMHeadModel(
        hf.GPT2Config(
            vocab_size=len(WORDS) + 4,
            n_embd=16,
            n_layer=1,
            n_head=2,
            n_positions=64,
            initializer_range=0.5,
            bos_token_id=2,
            eos_token_id=3,
            pad_token_id=0,
        )
    )
    pipe = save("text-generation", model, plain_words())
    row = {"return_full_text": False, "max_new_tokens": 5, "do_sample": False}
    inputs = "inputs: string; return_text: bool; return_tensors: bool; return_full_text: bool; max_new_tokens: int64; do_sample: bool"
    more = {"return_text": True, "return_tensors": False}
    tell(
        "text-generation",
        inputs,
        "generated_text: string[1]",
        [{"inputs": t, **row, **more} for t in TEXTS],
        [gathered(pipe(t, **row)) for t in TEXTS],
    )

    both = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        hf.ViTConfig(**VISION),
        hf.GPT2Config(vocab_size=len(WORDS) + 4, n_embd=32, n_layer=1, n_head=2, n_positions=64, initializer_range=0.5),
    )
    both.decoder_start_token_id, both.pad_token_id, both.eos_token_id = 2, 0, 3
    model = hf.VisionEncoderDecoderModel(config=both)
    model.generation_config.decoder_start_token_id, model.generation_config.pad_token_id = 2, 0
    model.generation_config.eos_token_id = 3
    pipe = save(
        "image-to-text", model, plain_words(), hf.ViTImageProcessor(size={"height": 30, "width": 30}, **CHANNELS)
    )
    tell(
        "image-to-text",
        f"inputs: {IMAGE}; max_new_tokens: int64",
        "generated_text: string[]",
        [{"inputs": each, "max_new_tokens": 5} for each in PICTURES],
        [gathered(pipe(picture(each), max_new_tokens=5)) for each in PICTURES],
    )


def images():
    """The tasks of images."""
    processor = hf.ViTImageProcessor(size={"height": 30, "width": 30}, **CHANNELS)
    model = hf.ViTForImageClassification(hf.ViTConfig(**VISION, **labelled("cat", "dog", "mat")))
    pipe = save("image-classification", model, processor)
    tell(
        "image-classification",
        "inputs: int64[24,30,3]; top_k: int64",
        "score: float64[2]; label: string[2]",
        [{"inputs": each, "top_k": 2} for each in PICTURES],
        [gathered(pipe(picture(each), top_k=2)) for each in PICTURES],
    )

    swin = hf.SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    detr = hf.DetrConfig(
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=4,
        use_timm_backbone=False,
        backbone_config=hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1]),
        backbone=None,
    )
    model = hf.MaskFormerForInstanceSegmentation(
        hf.MaskFormerConfig(
            fpn_feature_size=32,
            mask_feature_size=32,
            backbone_config=swin,
            decoder_config=detr,
            **labelled("cat", "dog"),
        )
    )
    with torch.no_grad():
        model.class_predictor.bias.copy_(torch.tensor([0.0, 0.5, -9.0]))
    pipe = save("image-segmentation", model, hf.MaskFormerImageProcessor(size={"height": 64, "width": 64}, **CHANNELS))
    row = {"threshold": 0.1, "mask_threshold": 0.4, "overlap_mask_area_threshold": 0.1}
    tell(
        "image-segmentation",
        "inputs: int64[24,30,3]; threshold: float64; mask_threshold: float64; overlap_mask_area_threshold: float64",
        "score: float64[]; label: string[]; mask: int64[*,24,30]",
        [{"inputs": each, **row} for each in PICTURES],
        [gathered(pipe(picture(each), **row)) for each in PICTURES],
    )

    model = hf.YolosForObjectDetection(
        hf.YolosConfig(**{**VISION, "image_size": [30, 30]}, num_detection_tokens=3, **labelled("cat", "dog"))
    )
    pipe = save("object-detection", model, hf.YolosImageProcessor(size={"height": 30, "width": 30}, **CHANNELS))
    tell(
        "object-detection",
        "inputs: int64[24,30,3]; threshold: float64",
        "score: float64[]; label: string[]; box: int64[*,4]",
        [{"inputs": each, "threshold": 0.05} for each in PICTURES],
        [gathered(pipe(picture(each), threshold=0.05)) for each in PICTURES],
    )

    text = {**BERT, "max_position_embeddings": 16, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    vision = {**VISION, "projection_dim": 16}
    labels = ["cat", "dog"]
    model = hf.CLIPModel(
        hf.CLIPConfig(text_config={**text, "projection_dim": 16}, vision_config=vision, projection_dim=16)
    )
    pipe = save(
        "zero-shot-image-classification",
        model,
        plain_words(),
        hf.CLIPImageProcessor(size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30}),
    )
    row = {"candidate_labels": labels, "hypothesis_template": "a photo of {}"}
    tell(
        "zero-shot-image-classification",
        "inputs: int64[24,30,3]; candidate_labels: string[2]; hypothesis_template: string",
        "score: float64[2]; label: string[2]",
        [{"inputs": each, **row} for each in PICTURES],
        [gathered(pipe(picture(each), **row)) for each in PICTURES],
    )

    model = hf.OwlViTForObjectDetection(hf.OwlViTConfig(text_config=text, vision_config=VISION, projection_dim=32))
    pipe = save(
        "zero-shot-object-detection",
        model,
        plain_words(),
        hf.OwlViTImageProcessor(size={"height": 30, "width": 30}, crop_size={"height": 30, "width": 30}),
    )
    tell(
        "zero-shot-object-detection",
        "images: int64[24,30,3]; candidate_labels: string[2]; threshold: float64",
        "score: float64[]; label: string[]; box: int64[*,4]",
        [{"images": each, "candidate_labels": labels, "threshold": 0.1} for each in PICTURES],
        [gathered(pipe(picture(each), candidate_labels=labels, threshold=0.1)) for each in PICTURES],
    )


def speech():
    """Speech recognition."""
    folder = FOLDER / "automatic-speech-recognition"
    folder.mkdir(parents=True)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefg"]
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    model = hf.Wav2Vec2ForCTC(
        hf.Wav2Vec2Config(
            **SMALL,
            vocab_size=len(letters),
            conv_dim=(8, 8),
            conv_stride=(5, 4),
            conv_kernel=(10, 4),
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
            initializer_range=0.5,
            pad_token_id=0,
        )
    )
    pipe = save(
        "automatic-speech-recognition",
        model,
        hf.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")),
        hf.Wav2Vec2FeatureExtractor(),
    )
    sounds = [rng.randn(800).astype(np.float32), rng.randn(500).astype(np.float32)]
    chunked = "text: string; chunks: struct{text: string?, timestamp: float32[]?}[]"
    answers = [pipe(each, return_timestamps="char") for each in sounds]
    for answer in answers:
        answer["chunks"] = [{**each, "timestamp": list(each["timestamp"])} for each in answer["chunks"]]
    tell(
        "automatic-speech-recognition",
        "inputs: float32[]; return_timestamps: string",
        chunked,
        [{"inputs": each.tolist(), "return_timestamps": "char"} for each in sounds],
        answers,
    )


def painting():
    """Images of a text. The noise is random: the last layer answers one color whatever it is."""
    import diffusers

    folder = FOLDER / "words-of-clip"
    folder.mkdir()
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = [*letters, *(f"{each}</w>" for each in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = hf.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    text = {
        **SMALL,
        "vocab_size": len(vocabulary),
        "max_position_embeddings": 16,
        "bos_token_id": 52,
        "eos_token_id": 53,
    }
    autoencoder = diffusers.AutoencoderKL(
        block_out_channels=[8, 16],
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=4,
        norm_num_groups=2,
    )
    with torch.no_grad():
        autoencoder.decoder.conv_out.weight.zero_()
        autoencoder.decoder.conv_out.bias.copy_(torch.tensor([0.5, -0.5, 0.0]))
    pipe = diffusers.StableDiffusionPipeline(
        unet=diffusers.UNet2DConditionModel(
            block_out_channels=(8, 16),
            layers_per_block=1,
            sample_size=8,
            in_channels=4,
            out_channels=4,
            norm_num_groups=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=2,
        ),
        scheduler=diffusers.DDIMScheduler(),
        vae=autoencoder,
        text_encoder=hf.CLIPTextModel(hf.CLIPTextConfig(**text)),
        tokenizer=tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.save_pretrained(FOLDER / "stable-diffusion-text-2-img")
    row = {
        "height": 16,
        "width": 24,
        "num_inference_steps": 2,
        "guidance_scale": 5.0,
        "negative_prompt": "bad",
        "eta": 0.0,
    }
    found = [np.asarray(pipe(prompt, **row).images[0]).tolist() for prompt in ("cat", "dog")]
    tell(
        "stable-diffusion-text-2-img",
        "prompt: string; height: int64; width: int64; num_inference_steps: int64; guidance_scale: float64; "
        "negative_prompt: string; num_images_per_prompt: string; eta: float64",
        "images: int64[16,24,3]",
        [{"prompt": prompt, **row, "num_images_per_prompt": "1"} for prompt in ("cat", "dog")],
        [{"images": each} for each in found],
    )


for part in (texts, generated, images, speech, painting):
    part()
print(json.dumps(said))
