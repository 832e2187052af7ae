"""A bundle from a stranger builds nothing but a captioner, of the size of its weights."""

import os
import sys
from dataclasses import replace

import pytest
import torch
from spoiled_bundles import changed, refusal
from tiny_model import saved_model, tiny_bundle

from captioning.decoders.ensemble import Ensemble
from captioning.models.bundle import load_bundle, save_bundle
from captioning.tasks.captioning.retrieval_memory import replaced

EVIL = [
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "functools.partial",
    "hydra.utils.call",
    "captioning.models.bundle.os.system",
    "captioning.encoders.grid.load_backbone",
    "captioning.encoders.grid.Path",
    "captioning.encoders.grid.torch.load",
    "captioning.encoders.grid.nothing",
    "captioning.encoders.grid.GridEncoder.read",
    "captioning.encoders.nothing.Nothing",
    "captioning.encoders.",
    "captioning.encoders..grid.GridEncoder",
    "captioning.encoders.base.Encoder\0",
    "captioning.encodersevil.Evil",
    "captioning.decoders.ensemble.nn.Linear",
    "",
    None,
    7,
    ["os", "system"],
    {"_target_": "os.system"},
]


@pytest.mark.parametrize("part", ["encoder", "decoder", "generation"])
@pytest.mark.parametrize("target", EVIL, ids=map(str, range(len(EVIL))))
def test_a_model_builds_nothing_but_parts_of_a_captioner(model, part, target, monkeypatch):
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("the model ran a program"))
    refusal(changed(model, part, {"_target_": target}))


@pytest.mark.parametrize(
    ("part", "target"),
    [
        ("encoder", "captioning.decoders.show_and_tell.ShowAndTell"),
        ("encoder", "captioning.generation.beam.beam"),
        ("decoder", "captioning.generation.beam.beam"),
        ("decoder", "captioning.encoders.grid.GridEncoder"),
        ("generation", "captioning.decoders.show_and_tell.ShowAndTell"),
        ("generation", "captioning.generation.output.generated"),
        ("generation", "captioning.generation.constraints.limits"),
        ("generation", "captioning.generation.search.Search"),
    ],
)
def test_every_part_stands_in_its_place(model, part, target):
    refusal(changed(model, part, {"_target_": target}))


@pytest.mark.parametrize(
    "values",
    [
        {"dropout": {"_target_": "os.system", "command": "true"}},
        {"dropout": [{"_target_": "captioning.models.bundle.os.system", "command": "true"}]},
        {"dropout": {"deep": {"_target_": "builtins.eval"}}},
        {"dropout": "${oc.env:HOME}"},
        {"_partial_": True},
        {"_recursive_": False},
        {"_args_": [1, 2]},
        {"_target_": "captioning.decoders.ensemble.Ensemble", "_args_": [["x"]]},
        {"no_such_option": 3},
        {7: 7},
    ],
    ids=range(10),
)
def test_a_part_is_given_plain_values_that_it_knows(model, values, monkeypatch):
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("the model ran a program"))
    refusal(changed(model, "decoder", values))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("decoder", {"width": -1}),
        ("decoder", {"width": 0}),
        ("decoder", {"width": 17}),
        ("decoder", {"width": 10**9}),
        ("decoder", {"width": 10**30}),
        ("decoder", {"embedding": 40_000_000}),
        ("decoder", {"width": "wide"}),
        ("decoder", {"_target_": "captioning.decoders.transformer.Transformer", "width": 64, "layers": 10**9}),
        ("decoder", {"_target_": "captioning.decoders.show_and_tell.ShowAndTell"}),
        ("encoder", {"size": -1}),
        ("encoder", {"size": 10**9}),
        ("encoder", {"size": True}),
        ("encoder", {"grid": 0}),
        ("encoder", {"grid": 10**6}),
        ("encoder", {"backbone": "vit_giant_patch14_224"}),
        ("encoder", {"backbone": "test_vit"}),
        ("encoder", {"backbone": "no_such_net"}),
        ("encoder", {"backbone": "hf-hub:some/body"}),
        ("encoder", {"backbone": "local-dir:/tmp"}),
        ("encoder", {"backbone": None}),
        ("generation", {"details": True, "decoder": 3}),
    ],
    ids=str,
)
def test_sizes_that_are_not_those_of_the_weights_are_refused_at_once(model, part, values):
    refusal(changed(model, part, values))


def test_a_part_of_ones_own_needs_ones_word(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/__init__.py").write_text("")
    (tmp_path / "mine/eyes.py").write_text(
        "import os\n"
        "from captioning.encoders.grid import GridEncoder\n\n\n"
        "class Eyes(GridEncoder):\n"
        "    def __init__(self, *, backbone, size):\n"
        "        super().__init__(backbone=backbone, size=size, weights='none')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = changed(saved_model(tmp_path / "model"), "encoder", {"_target_": "mine.eyes.Eyes"})
    assert "allow" in refusal(model) and "mine" not in sys.modules
    assert type(load_bundle(model, allow=["mine"]).encoder).__name__ == "Eyes"
    assert "allow" in refusal(model, allow=["min"])
    refusal(changed(model, "encoder", {"_target_": "mine.eyes.os.system"}), allow=["mine"])


def test_loading_leaves_no_watch_on_layers_behind(model):
    changed(model, "decoder", {"width": 10**9})
    refusal(model)
    assert torch.nn.Linear(2000, 2000).weight.numel() == 4_000_000


@pytest.mark.parametrize("spans", [[[0, 3]], [[9, 9]], ["all"]])
def test_a_decoder_that_cannot_read_what_the_encoder_sees_is_refused_at_once(tmp_path, spans):
    bundle = tiny_bundle()
    width = bundle.encoder.width
    decoder = Ensemble([bundle.task.decoder], [[[0, width]]])
    say = {"_target_": "captioning.decoders.ensemble.Ensemble", "channels": [[[0, width]]]}
    say["decoders"] = [bundle.task.parts["decoder"] | {"visual_width": width}]
    joined = replace(bundle, task=replaced(bundle.task, decoder=decoder, config=say).eval())
    model = save_bundle(tmp_path / "model", joined, card="")
    load_bundle(model)
    assert "cannot read what the encoder sees" in refusal(changed(model, "decoder", {"channels": [spans]}))
