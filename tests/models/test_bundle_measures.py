"""A bundle of a stranger opens its own files and no network, costs what its weights cost, and says nothing odd."""

import json
import math
import os
import shutil
import time
import tracemalloc
from pathlib import Path

import pytest
import torch
import yaml
from hostile_bundles import OPENERS, invented_configs
from safetensors.torch import load_file, save_file
from tiny_model import saved_model
from watched import watched

from captioning.decoders.base import Decoder
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.models.bundle import load_bundle
from captioning.models.untrusted import TRUSTED, keywords_of, rooms
from captioning.text.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return saved_model(tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture
def model(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture
def secret(tmp_path) -> str:
    path = tmp_path / "secret.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    return str(path)


def config_of(model: Path) -> dict:
    return yaml.safe_load((model / "config.yaml").read_text())


def with_config(model: Path, config: dict) -> Path:
    (model / "config.yaml").write_text(yaml.safe_dump(config))
    return model


def outcome(model: Path) -> str:
    """Loads a model under watch: "loaded", or the sentence of the refusal. It opens its own files, and code."""
    began = time.thread_time()
    with watched() as (files, sockets):
        try:
            load_bundle(model)
            found = "loaded"
        except UserError as error:
            found = str(error)
            assert str(model) in found and "\n" not in found and found.replace("\u00a0", " ").isprintable(), found
    own = (str(model.resolve()), os.path.realpath("/proc/self"), "/proc", "/sys", "/etc/localtime")
    code = (".py", ".pyc", ".so", ".txt", ".json", ".dist-info/METADATA", ".toml", "/entry_points.txt")
    strange = [path for path in files if not path.startswith(own) and not path.endswith(code) and os.path.isfile(path)]
    assert not strange and not sockets and "/dev/zero" not in files
    assert time.thread_time() - began < 20
    return found


@pytest.mark.parametrize("number", range(len(OPENERS)))
@pytest.mark.parametrize("place", ["decoder", "decoder.x", "generation.constraints", "encoder.x"])
def test_no_part_at_any_depth_opens_a_file_or_asks_the_network(model, secret, number, place):
    part = {key: value.replace("SECRET", secret) for key, value in OPENERS[number].items()}
    config = config_of(model)
    outer, _, inner = place.partition(".")
    where = config["task"] if outer == "task" else config["encoder"] if outer == "encoder" else config["task"][outer]
    if inner:
        where[inner] = [part] if inner == "constraints" else part
    else:
        config["task"][outer] = {"_target_": "captioning.decoders.retrieval.RetrievalDecoder", "decoder": part}
    assert outcome(with_config(model, config)) != "loaded"


def test_invented_configurations_open_nothing(model, secret):
    config = config_of(model)
    for name, changed in invented_configs(config, secret, 40):
        assert outcome(with_config(model, changed)), name


def test_the_model_itself_loads_under_watch(model):
    assert outcome(model) == "loaded"


def test_parts_stand_in_their_own_room_and_ones_own_package_in_any():
    mine = (*TRUSTED, "mine")
    assert rooms(Encoder, mine) == ["captioning.encoders", "mine"]
    assert rooms(Decoder, mine) == ["captioning.decoders", "mine"]
    assert rooms(object, mine) == mine


def test_a_keyword_that_is_passed_on_is_known():
    from captioning.encoders.regions import Maps

    assert {"weights", "finetune", "backbone", "size"} <= keywords_of(Maps)


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        ("generation", "beam_size", 10**6),
        ("generation", "max_words", 10**9),
        ("generation", "num_captions", 101),
        ("generation", "alpha", math.inf),
        ("generation", "min_words", -(10**7)),
        ("generation", "forbidden_words", [10**9]),
        ("decoder", "longest", 10**8),
        ("decoder", "width", 10**7),
        ("encoder", "size", 10**5),
        ("decoder", "dropout", math.nan),
        ("generation", "block_ngrams", 10**30),
    ],
)
def test_a_number_without_measure_is_said_by_name(model, place, name, value):
    config = config_of(model)
    (config["encoder"] if place == "encoder" else config["task"][place])[name] = value
    said = outcome(with_config(model, config))
    assert f"{place}.{name}" in said and ("more than" in said or "no number" in said)


@pytest.mark.parametrize(
    "text",
    [
        "format: 0b" + "1" * 900_000,
        "format: 1" + "0" * 500_000,
        "format: 0x" + "f" * 500_000,
        "format: 1e" + "9" * 500_000,
        "format: 2\nencoder: {a: 1" + ":1" * 200_000 + "}",
        "format: 2\nencoder: {a: 1" + ":1" * 20 + ".5}",
        "format: " + "[" * 50_000,
        "format: 2\nencoder: " + "{a: " * 500 + "1" + "}" * 500,
        "format: " + "1" * 30,
        "x: " + "a" * 2_000_000,
        "format: 2\nencoder: {a: " + "1" * 41 + "}",
        "? [1]\n: 2\nformat: 2",
        "",
    ],
)
def test_a_text_that_takes_long_to_read_is_not_read(model, text):
    (model / "config.yaml").write_text(text)
    began = time.thread_time()
    assert outcome(model) != "loaded" and time.thread_time() - began < 5


@pytest.mark.parametrize("word", ["\x1b[2J", "a\nb", "a\tb", "\x9b", "\u2028", "\u202e", "\x00", "a" * 20_000])
def test_a_word_that_commands_a_terminal_is_refused(model, word):
    vocabulary = json.loads((model / "vocabulary.json").read_text())
    vocabulary["words"][0] = word
    (model / "vocabulary.json").write_text(json.dumps(vocabulary))
    said = outcome(model)
    assert "vocabulary.json" in said and ("control character" in said or "without end" in said)


def test_a_word_of_other_alphabets_is_a_word(model):
    vocabulary = json.loads((model / "vocabulary.json").read_text())
    for index, word in enumerate(
        ("3\u00a01/2", "hündchen", "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u732b")
    ):
        vocabulary["words"][index] = word
    (model / "vocabulary.json").write_text(json.dumps(vocabulary))
    assert outcome(model) == "loaded"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"words": ' + "[" * 100_000, '{"a":' * 50_000, "", "{", "[1]", "\ud83d"]
)
def test_deep_or_broken_json_is_a_sentence(model, text):
    (model / "vocabulary.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert "vocabulary.json" in outcome(model)
    with pytest.raises(UserError):
        Vocabulary.load(model / "vocabulary.json")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_named_when_they_are_read(model, value):
    weights = load_file(model / "weights.safetensors")
    name = next(name for name, tensor in weights.items() if tensor.dim() == 2)
    weights[name][-1, -1] = value
    save_file(weights, model / "weights.safetensors")
    assert name in outcome(model)


def test_large_weights_are_numbers(model):
    weights = load_file(model / "weights.safetensors")
    name = next(name for name, tensor in weights.items() if tensor.dim() == 2)
    weights[name][:] = 3e38
    save_file(weights, model / "weights.safetensors")
    assert outcome(model) == "loaded"


def test_what_is_refused_costs_no_memory(model):
    config = config_of(model)
    config["task"]["decoder"]["width"] = 900_000
    tracemalloc.start()
    assert outcome(with_config(model, config)) != "loaded"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
