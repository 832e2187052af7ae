"""Models of the model hub that write about pictures by transformers' own `generate`, with a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from captioning.errors import UserError
from captioning.models.published.hub import NEEDS, read_json
from captioning.models.published.pickles import one_line
from captioning.runtime.option_checks import require_whole

if TYPE_CHECKING:
    from PIL.Image import Image

TOKENS = 50  # that a caption has at most where nobody says
PROMPTS = {  # what a model is asked where nobody says, by its kind; one of a chat is asked in words
    "florence2": "<CAPTION>",
    "paligemma": "caption en",
    "instructblip": "Write a short description for the image.",
    "kosmos-2": "An image of",
}
QUESTION = "Describe this photo in one short sentence."


class Written(NamedTuple):
    """One text about a picture."""

    text: str
    score: float  # the mean log-probability of a token, the end among them; of beams as transformers has it
    words: list[str]
    log_probabilities: list[float]  # one a word, then one of the end where it ended by itself


class GeneratingModel(nn.Module):
    """A model of transformers with what brings pictures and a prompt to it."""

    def __init__(self, model: nn.Module, processor: Any, *, kind: str):
        super().__init__()
        self.model, self.processor, self.kind = model, processor, kind
        self.tokenizer = getattr(processor, "tokenizer", processor)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if not model.config.is_encoder_decoder:
            self.tokenizer.padding_side = "left"  # what is written goes on where the prompt ends
        self.chats = bool(getattr(processor, "chat_template", None))

    @property
    def prompt(self) -> str | None:
        """What it is asked where nobody says."""
        return PROMPTS.get(self.kind, QUESTION if self.chats else None)

    def inputs(self, pictures: Sequence[Sequence[Image]], prompt: str | None) -> Mapping[str, Any]:
        """Pictures (B, of each one or several frames) and a prompt -> what `generate` takes.

        A model that no chat can show several pictures sees the middle one of a clip. Raises UserError where the model
        has no place for a prompt, or its processor fails.
        """
        options: dict[str, Any] = {"return_tensors": "pt", "padding": True}
        try:
            if self.chats:
                ask = self.processor.apply_chat_template
                takes = signature(ask).parameters
                if "processor_kwargs" in takes:  # of transformers 5
                    tensors = {"return_tensors": "pt"} if "return_tensors" in takes else {}  # SmolVLM's own is none
                    options = {"processor_kwargs": options, **tensors}
                talks = [
                    [{"role": "user", "content": [*({"type": "image", "image": one} for one in several),
                                                  {"type": "text", "text": prompt or QUESTION}]}]
                    for several in pictures
                ]  # fmt: skip
                return ask(talks, add_generation_prompt=True, tokenize=True, return_dict=True, **options)
            middle = [several[len(several) // 2] for several in pictures]
            if not hasattr(self.processor, "tokenizer") or self.kind in ("vision-encoder-decoder", "blip", "git"):
                if prompt:
                    raise UserError(f"prompt={prompt!r}: a {self.kind} is asked nothing, it only looks")
                reader = getattr(self.processor, "image_processor", self.processor)
                return reader(images=middle, return_tensors="pt")
            return self._beside(middle, prompt or "", options)
        except (TypeError, ValueError, IndexError, KeyError, RuntimeError, ImportError, AttributeError) as error:
            raise UserError(f"the {self.kind} cannot be asked {prompt!r}: {one_line(error)}") from None

    def _beside(self, pictures: Sequence[Image], prompt: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """A prompt beside each picture, its token for pictures put in front where the processor does not do so."""
        token = getattr(self.processor, "image_token", None)
        token, problem = getattr(token, "content", token), None
        for asked in (prompt, f"{token}\n{prompt}") if token and token not in prompt else (prompt,):
            try:
                found = self.processor(images=list(pictures), text=[asked] * len(pictures), **options)
            except ValueError as error:
                problem = error
                continue
            if not token or (found["input_ids"] == self.tokenizer.convert_tokens_to_ids(token)).any():
                return found
        raise problem or ValueError("its processor leaves no place for the picture")


@contextmanager
def quietly() -> Iterator[None]:
    """What transformers would say by the way is left out: bars, and advice to programmers."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def import_generating(folder: Path, name: str) -> GeneratingModel:
    """The model of a folder in the hub's layout, by its own libraries, none of whose code is taken from the folder.

    Raises UserError where it is no model that writes about pictures, or is not whole.
    """
    try:
        from transformers import AutoConfig, AutoModelForImageTextToText
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING as WRITERS
    except ImportError:
        raise UserError(f"{name}: {NEEDS}") from None
    kind = str(read_json(folder / "config.json").get("model_type"))
    own: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(str(folder), **own)
    except Exception as error:  # a kind that is not known, or wants code of its own
        raise UserError(
            f"{folder}/config.json describes a {kind}, which is not known here: {one_line(error)}"
        ) from None
    if type(config) not in WRITERS:
        raise UserError(f"{folder}/config.json describes a {kind}, which does not write about pictures")
    if not any((*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin"))):
        raise UserError(f"{folder} is not whole: model.safetensors is missing")
    try:
        with quietly():
            processor = read_processor(folder, own)
            model, found = AutoModelForImageTextToText.from_pretrained(
                str(folder), dtype="auto", weights_only=True, output_loading_info=True, **own
            )
    except ImportError as error:
        raise UserError(f"{folder}: its {kind} needs a package that is not here: {one_line(error)}") from None
    except UserError:
        raise
    except Exception as error:  # damaged files raise nearly anything
        raise UserError(f"{folder} cannot be read as a {kind}: {one_line(error)}") from None
    if missing := sorted([*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])]):
        raise UserError(f"{folder} has not the weights of its {kind}: {len(missing)} are missing, first {missing[0]}")
    return GeneratingModel(model.eval(), processor, kind=kind)


def read_processor(folder: Path, own: Mapping[str, Any]) -> Any:
    """What brings pictures and texts to the model: its processor, or a reader of pictures with a tokenizer."""
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

    if (folder / "processor_config.json").is_file() or not (folder / "preprocessor_config.json").is_file():
        return AutoProcessor.from_pretrained(str(folder), **own)
    found = AutoProcessor.from_pretrained(str(folder), **own)
    if hasattr(found, "image_processor") and hasattr(found, "tokenizer"):
        return found
    reader, tokenizer = (kind.from_pretrained(str(folder), **own) for kind in (AutoImageProcessor, AutoTokenizer))
    return PlainProcessor(reader, tokenizer)


class PlainProcessor:
    """A reader of pictures and a tokenizer, of a model that has no processor of both."""

    def __init__(self, image_processor: Any, tokenizer: Any):
        self.image_processor, self.tokenizer = image_processor, tokenizer


def generate(
    model: GeneratingModel,
    pictures: Sequence[Sequence[Image]],
    *,
    prompt: str | None = None,
    beam_size: int | None = None,
    num_captions: int = 1,
    min_words: int = 1,
    max_words: int | None = None,
    block_ngrams: int | None = None,
    forbidden_words: Sequence[str] = (),
    num_samples: int | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int | None = None,
) -> list[list[Written]]:
    """What a model writes about each of B pictures or clips, best first.

    Words are counted in tokens. None leaves a choice to the model's own generation_config.json, but that it never draws
    at random unless `num_samples` or a `seed` asks for it. Raises UserError for an option without meaning.
    """
    counts = {"num_captions": num_captions, "min_words": min_words, "beam_size": beam_size, "max_words": max_words,
              "num_samples": num_samples, "block_ngrams": block_ngrams}  # fmt: skip
    require_whole("generation.", **{name: value for name, value in counts.items() if value is not None})
    own = model.model.generation_config
    most = max_words or own.max_new_tokens or TOKENS
    options: dict[str, Any] = {"max_new_tokens": most, "min_new_tokens": min(min_words, most)}
    if block_ngrams is not None:
        options["no_repeat_ngram_size"] = block_ngrams
    if forbidden_words:
        options["bad_words_ids"] = forbidden_tokens(model.tokenizer, forbidden_words)
    several = num_captions
    if draws := num_samples is not None or seed is not None or temperature != 1.0 or top_k != 0 or top_p != 1.0:
        several = num_samples or 1
        options |= {"do_sample": True, "num_beams": 1, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    else:
        beams = max(beam_size or own.num_beams or 1, num_captions)
        options |= {"do_sample": False, "num_beams": beams, "temperature": None, "top_p": None, "top_k": None}
    options["num_return_sequences"] = several
    with quietly(), torch.random.fork_rng(enabled=draws and seed is not None), torch.inference_mode():
        if draws and seed is not None:
            torch.manual_seed(seed)
        inputs = model.inputs(pictures, prompt if prompt is not None else model.prompt)
        try:
            found = model.model.generate(
                **as_parameters(inputs, model.model), **options, output_scores=True, return_dict_in_generate=True
            )
        except (TypeError, ValueError) as error:
            raise UserError(f"the {model.kind} refuses these options: {one_line(error)}") from None
        chances = model.model.compute_transition_scores(
            found.sequences, found.scores, getattr(found, "beam_indices", None), normalize_logits=True
        )  # (B * several, T)
    said = found.sequences[:, found.sequences.shape[1] - chances.shape[1] :]  # neither prompt nor begin
    best = getattr(found, "sequences_scores", None)
    texts = [
        written(model.tokenizer, ids, chance, None if best is None else float(best[row]))
        for row, (ids, chance) in enumerate(zip(said.tolist(), chances.tolist(), strict=True))
    ]
    return [texts[start : start + several] for start in range(0, len(texts), several)]


def as_parameters(inputs: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """The inputs where the model is, and real numbers among them as exact as it is."""
    first = next(model.parameters())
    return {
        key: part.to(first.device, first.dtype if part.is_floating_point() else part.dtype)
        if isinstance(part, Tensor)
        else part
        for key, part in inputs.items()
    }


def forbidden_tokens(tokenizer: Any, words: Sequence[str]) -> list[list[int]]:
    """The tokens of words, within a sentence and at its beginning."""
    forms = {form for word in words for form in (word, f" {word}", word.capitalize(), f" {word.capitalize()}")}
    found = [tokenizer(form, add_special_tokens=False).input_ids for form in sorted(forms)]
    return [ids for ids in found if ids]


def written(tokenizer: Any, ids: Sequence[int], chances: Sequence[float], score: float | None) -> Written:
    """Tokens and their log-probabilities as a text of words."""
    special = set(tokenizer.all_special_ids)
    real = [place for place, token in enumerate(ids) if token not in special]
    text = " ".join(tokenizer.decode([ids[place] for place in real], skip_special_tokens=True).split())
    words = text.split()
    spent = [0.0] * len(words)
    for count, place in enumerate(real, 1):
        so_far = tokenizer.decode([ids[one] for one in real[:count]], skip_special_tokens=True).split()
        if words:
            spent[min(max(len(so_far), 1), len(words)) - 1] += chances[place]
    after = (real[-1] + 1) if real else 0
    ends = [chances[after]] if after < len(ids) and ids[after] in special else []
    mean = sum(spent + ends) / max(1, len(real) + len(ends))
    return Written(text, mean if score is None else score, words, spent + ends)
