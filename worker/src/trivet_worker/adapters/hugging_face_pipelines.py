"""The pipelines that transformers has no more from release 5 on. They answer as those of release 4 did."""

import importlib
from typing import Any, Callable, Dict, List, Mapping, Optional, Union

import numpy as np

__all__ = ["PIPELINES", "Answers", "Captions", "Texts"]

LIMITS = {"max_new_tokens": 256, "num_beams": 4}
"""How long and how widely texts are generated, where the model's own configuration does not say it."""

MANY = 20  # the `max_length` of every configuration of release 4 that does not say one


class _Generating:
    """A model that generates texts, and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, *, task: str) -> None:
        self.model, self.tokenizer = model, tokenizer
        own = model.generation_config
        self._usual = {name: value for name, value in LIMITS.items() if getattr(own, name, None) in (None, 1)}
        if getattr(own, "max_length", None) not in (None, MANY):
            self._usual.pop("max_new_tokens", None)
        if tokenizer.pad_token_id is not None and own.pad_token_id is None:
            self._usual["pad_token_id"] = tokenizer.pad_token_id
        for_task = dict((getattr(model.config, "task_specific_params", None) or {}).get(task) or {})
        self.prefix = for_task.pop("prefix", None) or getattr(model.config, "prefix", None) or ""
        self._usual.update(for_task)

    def generate(self, inputs: "Mapping[str, Any]", arguments: "Mapping[str, Any]") -> Any:
        """The token ids of each text."""
        given = {**self._usual, **arguments}
        if "max_length" in arguments and "max_new_tokens" not in arguments:
            given.pop("max_new_tokens", None)
        return self.model.generate(**inputs, **given)


class Texts(_Generating):
    """Summarization and translation: `field` is `summary` or `translation`."""

    def __init__(self, model: Any, tokenizer: Any, *, task: str, field: str) -> None:
        super().__init__(model, tokenizer, task=task)
        self._field = field

    def __call__(  # noqa: D102 - what the pipeline of release 4 took
        self,
        text: str,
        *,
        return_tensors: bool = False,
        return_text: bool = True,  # noqa: ARG002 - release 4 did not look at it either
        clean_up_tokenization_spaces: bool = False,
        src_lang: "Optional[str]" = None,
        tgt_lang: "Optional[str]" = None,
        **arguments: Any,
    ) -> "List[Dict[str, Any]]":
        build = getattr(self.tokenizer, "_build_translation_inputs", None)
        if self._field == "translation" and build is not None:
            inputs = build(text, return_tensors="pt", truncation=False, src_lang=src_lang, tgt_lang=tgt_lang)
        else:
            inputs = self.tokenizer(self.prefix + text, return_tensors="pt")
        inputs = {name: value for name, value in inputs.items() if name != "token_type_ids"}
        device = self.model.device
        inputs = {name: value.to(device) if hasattr(value, "to") else value for name, value in inputs.items()}
        found = self.generate(inputs, arguments)
        if return_tensors:
            return [{f"{self._field}_token_ids": ids} for ids in found]
        return [
            {
                f"{self._field}_text": self.tokenizer.decode(
                    ids, skip_special_tokens=True, clean_up_tokenization_spaces=clean_up_tokenization_spaces
                )
            }
            for ids in found
        ]


class Captions(_Generating):
    """Texts about images."""

    def __init__(self, model: Any, tokenizer: Any, images: Any) -> None:
        super().__init__(model, tokenizer, task="image-to-text")
        self._images = images
        self._usual.pop("num_beams", None)

    def __call__(self, image: Any, *, generate_kwargs: "Mapping[str, Any]") -> "List[Dict[str, Any]]":  # noqa: D102
        inputs = self._images(images=image, return_tensors="pt").to(self.model.device, self.model.dtype)
        found = self.generate(inputs, generate_kwargs)
        return [{"generated_text": self.tokenizer.decode(ids, skip_special_tokens=True)} for ids in found]


class Answers:
    """Answers to questions: the most likely spans of a context."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._question_first = tokenizer.padding_side == "right"

    def __call__(  # noqa: D102 - what the pipeline of release 4 took
        self,
        question: str,
        context: str,
        *,
        top_k: int = 1,
        doc_stride: "Optional[int]" = None,
        max_answer_len: int = 15,
        max_seq_len: "Optional[int]" = None,
        max_question_len: int = 64,  # noqa: ARG002 - release 4 did not look at it for fast tokenizers either
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
    ) -> "Union[Dict[str, Any], List[Dict[str, Any]]]":
        if not context or not question:
            raise ValueError("a question and its context cannot be empty")
        if top_k < 1 or max_answer_len < 1:
            raise ValueError("top_k and max_answer_len are at least 1")
        length = min(self._tokenizer.model_max_length, 384) if max_seq_len is None else max_seq_len
        stride = min(length // 2, 128) if doc_stride is None else doc_stride
        if stride > length:
            raise ValueError(f"doc_stride ({stride}) is larger than max_seq_len ({length})")
        spans = self._encoded(question, context, length=length, stride=stride)
        wanted = top_k * 2 + 10 if align_to_words else top_k
        answers: List[Dict[str, Any]] = []
        null = 1_000_000.0
        for index, encoding in enumerate(spans.encodings):
            start, end = self._probabilities(spans, index)
            if handle_impossible_answer:
                null = min(null, float(start[0] * end[0]))
            start[0] = end[0] = 0.0
            for first, last, score in _spans(start, end, wanted, max_answer_len, self._allowed(spans, index)):
                begin, stop = self._place(encoding, first, last, align_to_words)
                text = context[begin:stop]
                same = next((each for each in answers if each["answer"].lower() == text.lower()), None)
                if same is None:
                    answers.append({"score": score, "start": begin, "end": stop, "answer": text})
                else:
                    same["score"] += score
        if handle_impossible_answer:
            answers.append({"score": null, "start": 0, "end": 0, "answer": ""})
        return sorted(answers, key=lambda each: each["score"], reverse=True)[:top_k]

    def _encoded(self, question: str, context: str, *, length: int, stride: int) -> Any:
        first, second = (question, context) if self._question_first else (context, question)
        return self._tokenizer(
            text=first,
            text_pair=second,
            padding="do_not_pad",
            truncation="only_second" if self._question_first else "only_first",
            max_length=length,
            stride=stride,
            return_token_type_ids=True,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )

    def _allowed(self, spans: Any, index: int) -> "np.ndarray[Any, Any]":
        """Which tokens an answer may have: those of the context, and the one that stands for no answer."""
        ids = np.array(spans["input_ids"][index])
        side = 1 if self._question_first else 0
        allowed = np.array([each == side for each in spans.sequence_ids(index)])
        if self._tokenizer.cls_token_id is not None:
            allowed |= ids == self._tokenizer.cls_token_id
        return allowed

    def _probabilities(self, spans: Any, index: int) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        torch = importlib.import_module("torch")
        names = [name for name in self._tokenizer.model_input_names if name in spans]
        inputs = {name: torch.tensor([spans[name][index]], device=self._model.device) for name in names}
        with torch.no_grad():
            found = self._model(**inputs)
        allowed = self._allowed(spans, index)
        sides = []
        for logits in (found["start_logits"], found["end_logits"]):
            values = np.where(allowed, logits[0].float().cpu().numpy(), -10000.0)
            values = np.exp(values - values.max())
            sides.append(values / values.sum())
        return sides[0], sides[1]

    def _place(self, encoding: Any, first: int, last: int, align: bool) -> "tuple[int, int]":
        side = 1 if self._question_first else 0
        words = (encoding.token_to_word(first), encoding.token_to_word(last)) if align else (None, None)
        if None in words:  # some tokenizers know no words
            return encoding.offsets[first][0], encoding.offsets[last][1]
        begin, stop = (encoding.word_to_chars(word, sequence_index=side) for word in words)
        return begin[0], stop[1]


def _spans(
    start: "np.ndarray[Any, Any]",
    end: "np.ndarray[Any, Any]",
    count: int,
    longest: int,
    allowed: "np.ndarray[Any, Any]",
) -> "List[tuple[int, int, float]]":
    """The most likely pairs of a first and a last token, with their probability."""
    pairs = np.tril(np.triu(np.outer(start, end)), longest - 1)
    flat = pairs.ravel()
    if count == 1:
        order = np.array([flat.argmax()])
    elif len(flat) <= count:
        order = np.argsort(-flat)
    else:
        best = np.argpartition(-flat, count)[:count]
        order = best[np.argsort(-flat[best])]
    firsts, lasts = np.unravel_index(order, pairs.shape)
    return [
        (int(first), int(last), float(pairs[first, last]))
        for first, last in zip(firsts, lasts)
        if allowed[first] and allowed[last]
    ]


def _loaded(folder: str, kind: str, device: str, trust: bool) -> "tuple[Any, Any]":
    """A model of an `AutoModelFor…` class, and its tokenizer."""
    transformers = importlib.import_module("transformers")
    options = {"trust_remote_code": trust}
    model = getattr(transformers, kind).from_pretrained(folder, **options).to(device).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder, **options)


def _texts(task: str, field: str) -> "Callable[..., Texts]":
    def opened(folder: str, *, device: str, trust: bool) -> Texts:
        return Texts(*_loaded(folder, "AutoModelForSeq2SeqLM", device, trust), task=task, field=field)

    return opened


def _captions(folder: str, *, device: str, trust: bool) -> Captions:
    transformers = importlib.import_module("transformers")
    images = transformers.AutoImageProcessor.from_pretrained(folder, trust_remote_code=trust)
    return Captions(*_loaded(folder, "AutoModelForImageTextToText", device, trust), images)


def _answers(folder: str, *, device: str, trust: bool) -> Answers:
    return Answers(*_loaded(folder, "AutoModelForQuestionAnswering", device, trust))


PIPELINES: "Mapping[str, Callable[..., Any]]" = {
    "summarization": _texts("summarization", "summary"),
    "translation": _texts("translation", "translation"),
    "image-to-text": _captions,
    "question-answering": _answers,
}
"""By task: opens a folder's model."""
