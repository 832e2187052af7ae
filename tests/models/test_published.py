"""Models of the papers' authors say what the authors' code says."""

import argparse
import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from captioning.commands.import_model import import_model
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.greedy import greedy
from captioning.memory import VisualMemory
from captioning.models.bundle import load_bundle
from captioning.models.published.importing import import_checkpoint
from captioning.models.published.pickles import as_dict, read_pickle
from captioning.tasks.captioning.caption import describe
from captioning.text.vocabulary import BOS, EOS, PAD, UNK

THEIRS = ("newfc", "att2in2", "updown", "updown_bn", "transformer", "aoa")


@pytest.fixture(scope="session")
def checkpoints(real_data) -> Path:
    folder = real_data.resolve().parent / "reference" / "checkpoints"
    if not folder.is_dir():
        pytest.skip("reference/checkpoints, made by the authors' code, is not beside the folder of CAPTIONING_DATA")
    return folder


def read(path: Path) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in np.load(path).items()}


def in_our_order(vocabulary, infos: dict[str, str]) -> list[int]:
    """Our id of each of theirs, where 0 is begin, end and padding."""
    return [EOS, *(vocabulary.ids[infos[str(number)]] for number in range(1, len(infos) + 1))]


@pytest.mark.parametrize("name", THEIRS)
def test_a_model_of_image_captioning_pytorch_says_the_same(checkpoints, name):
    folder = checkpoints / "image_captioning_pytorch" / name
    model, expected = import_checkpoint(folder), read(folder / "expected.npz")
    words = model.vocabulary.words
    memory = VisualMemory(expected["att_feats"], expected["att_masks"] > 0, expected["fc_feats"])
    order = [EOS, *range(4, len(words))]
    seq = torch.tensor(order)[expected["seq"].long()]
    seq[expected["seq"] == 0] = PAD
    seq[:, 0] = BOS
    with torch.no_grad():
        context = model.decoder.prepare(memory)
        ours = model.decoder(context, seq[:, None])[:, 0].log_softmax(-1)
        real = seq != PAD
        assert (ours[..., order] - expected["log_probabilities"])[real].abs().max() < 1e-4
        for beams in (1, 3, 5):
            search = {"beam_size": beams, "max_words": expected["caption_beam_1"].shape[1]}
            found = beam(model.decoder, context, **search)
            theirs = [[order[i] for i in row if i] for row in expected[f"caption_beam_{beams}"].tolist()]
            assert [clean(row) for row in found.words[:, 0].tolist()] == theirs
            if beams > 1:
                assert torch.allclose(found.scores[:, 0], expected[f"score_beam_{beams}"].float(), atol=1e-3)
        alone = greedy(model.decoder, context, max_words=search["max_words"])
        assert [clean(row) for row in alone.words[:, 0].tolist()] == [
            [order[i] for i in row if i] for row in expected["caption_beam_1"].tolist()
        ]


@pytest.mark.parametrize("name", ["transformer", "aoa"])
@pytest.mark.parametrize("kind", [1, 2])
def test_batch_norms_around_a_projection_are_read(checkpoints, tmp_path, name, kind):
    """Norms that together change nothing, each of which does by itself."""
    folder = checkpoints / "image_captioning_pytorch" / name
    state, random = torch.load(folder / "model.pth"), torch.Generator().manual_seed(0)
    weight, bias = state.pop("att_embed.0.weight"), state.pop("att_embed.0.bias")

    def batch_norm(width: int) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
        mean, variance, factor, shift = (torch.rand(width, generator=random) + 0.5 for _ in range(4))
        parts = {"running_mean": mean, "running_var": variance, "weight": factor, "bias": shift}
        scale = factor / (variance + 1e-5).sqrt()
        return {**parts, "num_batches_tracked": torch.tensor(1)}, scale, shift - mean * scale

    first, scale, shift = batch_norm(weight.shape[1])
    weight = weight / scale
    bias = bias - weight @ shift
    norms = {0: first}
    if kind == 2:
        last, scale, shift = batch_norm(len(weight))
        last["bias"] = last["bias"] - shift  # no shift is left, and the factor can be taken out before the ReLU
        weight, bias, norms[4] = weight / scale[:, None], bias / scale, last
    state |= {f"att_embed.{place}.{part}": value for place, norm in norms.items() for part, value in norm.items()}
    torch.save(state | {"att_embed.1.weight": weight, "att_embed.1.bias": bias}, tmp_path / "model.pth")
    infos = as_dict(read_pickle(next(folder.glob("infos*"))))
    options = vars(infos["opt"]) if not isinstance(infos["opt"], dict) else infos["opt"]
    side = {"opt": {**as_dict(options), "use_bn": kind}, "vocab": infos["vocab"]}
    (tmp_path / "infos.json").write_text(json.dumps(side, default=str))
    expected = read(folder / "expected.npz")
    memory = VisualMemory(expected["att_feats"], expected["att_masks"] > 0, expected["fc_feats"])
    plain, ours = import_checkpoint(folder), import_checkpoint(tmp_path)
    words = torch.tensor([[[BOS, 5, 6, 7]]] * 3)
    with torch.no_grad():
        theirs, ours = (one.decoder(one.decoder.prepare(memory), words) for one in (plain, ours))
    assert (ours - theirs).abs().max() < 1e-4


def clean(ids: list[int]) -> list[int]:
    return [i for i in ids if i not in (EOS, PAD)]


def test_meshed_memory_says_the_same(checkpoints):
    folder = checkpoints / "meshed_memory"
    expected = read(folder / "expected.npz")
    model = import_checkpoint(folder, heads=4, regions=7)
    theirs = json.loads((folder / "vocabulary.json").read_text())["itos"]
    specials = {"<pad>": PAD, "<bos>": BOS, "<eos>": EOS, "<unk>": UNK}
    order = torch.tensor([specials[word] if word in specials else model.vocabulary.ids[word] for word in theirs])
    real = expected["features"].abs().sum(-1) > 0
    memory = VisualMemory(expected["features"], real, expected["features"].mean(1))
    seq = order[expected["seq"].long()]
    with torch.no_grad():
        context = model.decoder.prepare(memory)
        ours = model.decoder(context, seq[:, None])[:, 0].log_softmax(-1)
        assert (ours[..., order] - expected["log_probabilities"])[seq != PAD].abs().max() < 1e-4
        compared = 0
        for beams in (1, 3, 5):
            captions = order[expected[f"caption_beam_{beams}"].long()].tolist()
            length = len(captions[0])
            found = beam(model.decoder, context, beam_size=beams, max_words=length).words[:, 0].tolist()
            for ours, said in zip(found, captions, strict=True):
                said = said[: said.index(EOS)] if EOS in said else said
                if said and not {PAD, BOS, UNK} & set(said):  # which they may say, and a caption here has words
                    assert clean(ours) == said
                    compared += 1
        assert compared >= 6
        narrow = model.decoder.prepare(VisualMemory(memory.tokens[1:, :5], real[1:, :5], memory.pooled[1:]))
        assert torch.allclose(model.decoder(narrow, seq[1:, None]), model.decoder(context, seq[:, None])[1:], atol=1e-5)


def infos(**options) -> dict:
    """The side file of a model of theirs whose words are w1 to w9 and UNK."""
    vocab = {str(i): "UNK" if i == 10 else f"w{i}" for i in range(1, 11)}
    return {"opt": argparse.Namespace(**{"max_length": 9, "seq_length": 9} | options), "vocab": vocab}


def saved(folder: Path, state: dict, **options) -> Path:
    torch.save(state, folder / "model.pth")
    (folder / "infos_x.pkl").write_bytes(pickle.dumps(infos(**options)))
    return folder


def random_state(**shapes) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name.replace("__", "."): torch.randn(shape, generator=generator) / 2 for name, shape in shapes.items()}


def log_probabilities(model, memory: VisualMemory, words: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.decoder(model.decoder.prepare(memory), words)[:, 0].log_softmax(-1)


def some_memory(width: int = 6) -> VisualMemory:
    generator = torch.Generator().manual_seed(1)
    tokens, pooled = torch.randn(2, 5, width, generator=generator), torch.randn(2, width, generator=generator)
    return VisualMemory(tokens, torch.ones(2, 5, dtype=torch.bool), pooled)


SAID = [0, 3, 7, 10, 1]  # of theirs; 10 is unknown
READ = torch.tensor([[BOS, 6, 10, UNK, 4]] * 2)[:, None]
ORDER = [EOS, *range(4, 13), UNK]


def test_show_attend_tell_of_image_captioning_pytorch_is_what_its_equations_say(tmp_path):
    state = random_state(
        **{"linear.weight": (8, 6), "linear.bias": (8,), "embed.weight": (11, 7)},
        **{"core.rnn.weight_ih_l0": (32, 13), "core.rnn.weight_hh_l0": (32, 8)},
        **{"core.ctx2att.weight": (4, 6), "core.ctx2att.bias": (4,), "core.h2att.weight": (4, 8)},
        **{"core.h2att.bias": (4,), "core.alpha_net.weight": (1, 4), "core.alpha_net.bias": (1,)},
        **{"logit.weight": (11, 8), "logit.bias": (11,)},
    )
    model = import_checkpoint(saved(tmp_path, state, caption_model="show_attend_tell"))
    memory, expected = some_memory(), []
    cell = torch.nn.LSTMCell(13, 8, bias=False)
    cell.load_state_dict({"weight_ih": state["core.rnn.weight_ih_l0"], "weight_hh": state["core.rnn.weight_hh_l0"]})
    hidden = memory.pooled @ state["linear.weight"].T + state["linear.bias"]
    both = hidden, hidden
    for word in SAID:
        keys = memory.tokens @ state["core.ctx2att.weight"].T + state["core.ctx2att.bias"]
        query = both[0] @ state["core.h2att.weight"].T + state["core.h2att.bias"]
        weights = ((keys + query[:, None]).tanh() @ state["core.alpha_net.weight"].T).softmax(1)
        seen = (weights * memory.tokens).sum(1)
        both = cell(torch.cat([state["embed.weight"][word].expand(2, -1), seen], 1), both)
        expected.append((both[0] @ state["logit.weight"].T + state["logit.bias"]).log_softmax(-1))
    ours = log_probabilities(model, memory, READ)[..., ORDER]
    assert torch.allclose(ours, torch.stack(expected, 1), atol=1e-5)


def test_show_and_tell_of_image_captioning_pytorch_is_what_its_equations_say(tmp_path):
    state = random_state(
        **{"img_embed.weight": (7, 6), "img_embed.bias": (7,), "embed.weight": (11, 7)},
        **{"core.weight_ih_l0": (32, 7), "core.weight_hh_l0": (32, 8)},
        **{"logit.weight": (11, 8), "logit.bias": (11,)},
    )
    model = import_checkpoint(saved(tmp_path, state, caption_model="show_tell"))
    memory = some_memory()
    lstm = torch.nn.LSTM(7, 8, bias=False, batch_first=True)
    lstm.load_state_dict({"weight_ih_l0": state["core.weight_ih_l0"], "weight_hh_l0": state["core.weight_hh_l0"]})
    first = memory.pooled @ state["img_embed.weight"].T + state["img_embed.bias"]
    outputs, _ = lstm(torch.cat([first[:, None], state["embed.weight"][SAID].expand(2, -1, -1)], 1))
    expected = (outputs[:, 1:] @ state["logit.weight"].T + state["logit.bias"]).log_softmax(-1)
    assert torch.allclose(log_probabilities(model, memory, READ)[..., ORDER], expected, atol=1e-5)


class DecoderWithAttention(torch.nn.Module):
    """The parts of the tutorial's decoder, which its checkpoints hold as a whole pickled module."""

    def __init__(self):
        super().__init__()
        self.attention = torch.nn.Module()
        for name, sizes in (("encoder_att", (6, 4)), ("decoder_att", (8, 4)), ("full_att", (4, 1))):
            setattr(self.attention, name, torch.nn.Linear(*sizes))
        self.embedding = torch.nn.Embedding(11, 7)
        self.decode_step = torch.nn.LSTMCell(13, 8)
        self.init_h, self.init_c = torch.nn.Linear(6, 8), torch.nn.Linear(6, 8)
        self.f_beta, self.fc = torch.nn.Linear(8, 6), torch.nn.Linear(8, 11)

    def said(self, tokens: torch.Tensor, words: list[int]) -> torch.Tensor:
        both = self.init_h(tokens.mean(1)), self.init_c(tokens.mean(1))
        outputs = []
        for word in words:
            energy = self.attention.encoder_att(tokens) + self.attention.decoder_att(both[0])[:, None]
            weights = self.attention.full_att(energy.relu()).softmax(1)
            seen = self.f_beta(both[0]).sigmoid() * (weights * tokens).sum(1)
            both = self.decode_step(torch.cat([self.embedding.weight[word].expand(2, -1), seen], 1), both)
            outputs.append(self.fc(both[0]).log_softmax(-1))
        return torch.stack(outputs, 1)


def test_a_checkpoint_of_the_tutorial_is_what_its_equations_say(tmp_path, monkeypatch):
    torch.manual_seed(0)
    theirs = DecoderWithAttention()
    monkeypatch.setattr(DecoderWithAttention, "__module__", "models")
    monkeypatch.setitem(sys.modules, "models", sys.modules[__name__])
    optimizer = torch.optim.Adam(theirs.parameters())
    torch.save({"epoch": 3, "decoder": theirs, "decoder_optimizer": optimizer}, tmp_path / "BEST_checkpoint.pth.tar")
    monkeypatch.delitem(sys.modules, "models")
    numbers = {f"w{i}": i for i in range(1, 8)} | {"<unk>": 8, "<start>": 9, "<end>": 10, "<pad>": 0}
    (tmp_path / "WORDMAP_x.json").write_text(json.dumps(numbers))
    model, memory = import_checkpoint(tmp_path), some_memory()
    order = [PAD, *range(4, 11), UNK, BOS, EOS]
    with torch.no_grad():
        expected = theirs.said(memory.tokens, [9, 3, 7, 8, 1])
    assert torch.allclose(log_probabilities(model, memory, READ)[..., order], expected, atol=1e-5)


def test_label_smoothing_bears_words_that_are_never_said(checkpoints):
    """Begin and padding have no place in their output layer: a training that smooths has to go on from it."""
    model = import_checkpoint(checkpoints / "image_captioning_pytorch" / "updown")
    memory = some_memory(24)
    logits = model.decoder(model.decoder.prepare(memory), READ)[:, 0]
    plain, smooth = (
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), READ.flatten(), label_smoothing=s) for s in (0, 0.1)
    )
    assert smooth.isfinite() and (smooth - plain).abs() < 5


class Evil:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize("where", ["side", "weights"])
def test_a_pickle_with_code_in_it_is_refused_by_name_and_runs_nothing(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, {"embed.weight": torch.ones(2, 2)} | ({"x": Evil()} if where == "weights" else {}))
    if where == "side":
        (tmp_path / "infos_x.pkl").write_bytes(pickle.dumps({"opt": Evil(), "vocab": {}}))
    with pytest.raises(UserError, match=r"(posix|nt)\.system") as error:
        import_checkpoint(tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_numbers_of_numpy_are_read(tmp_path):
    content = infos(a=np.float64(0.5), b=np.int32(7), c=np.bool_(True))
    (tmp_path / "infos.pkl").write_bytes(pickle.dumps(content))
    opt = as_dict(as_dict(read_pickle(tmp_path / "infos.pkl"))["opt"])
    assert (opt["a"], opt["b"], opt["c"]) == (0.5, 7, True)


def test_the_side_file_may_be_json(checkpoints, tmp_path):
    folder = checkpoints / "image_captioning_pytorch" / "newfc"
    shutil.copy(folder / "model.pth", tmp_path)
    content = read_pickle(folder / "infos_newfc.pkl")
    plain = {"opt": {k: v for k, v in as_dict(content["opt"]).items() if k != "vocab"}, "vocab": content["vocab"]}
    (tmp_path / "infos.json").write_text(json.dumps(plain))
    ours, theirs = import_checkpoint(tmp_path), import_checkpoint(folder)
    assert ours.vocabulary == theirs.vocabulary
    assert all(torch.equal(a, b) for a, b in zip(ours.decoder.parameters(), theirs.decoder.parameters(), strict=True))


def refusal(source: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        import_checkpoint(source, **options)
    assert "\n" not in str(error.value) and str(source) in str(error.value)
    return str(error.value)


def test_what_is_wrong_is_said_in_a_sentence(tmp_path):
    assert "no such file" in refusal(tmp_path / "nowhere")
    assert "has no weights" in refusal(tmp_path)
    (tmp_path / "model.pth").write_bytes(b"nothing")
    assert "damaged" in refusal(tmp_path)
    torch.save({"a": 1}, tmp_path / "model.pth")
    assert "no named tensors" in refusal(tmp_path)
    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "model.pth")
    assert "none of the checkpoints that are known" in refusal(tmp_path)
    torch.save({"embed.weight": torch.ones(11, 2)}, tmp_path / "model.pth")
    assert "needs its words" in refusal(tmp_path)
    saved(tmp_path, {"embed.weight": torch.ones(11, 2)}, caption_model="denseatt")
    assert "denseatt" in refusal(tmp_path)
    saved(tmp_path, {"embed.weight": torch.ones(11, 2)}, caption_model="newfc", use_box=1)
    assert "use_box" in refusal(tmp_path)
    saved(tmp_path, {"embed.weight": torch.ones(11, 2)}, caption_model="newfc")
    assert "no weights called" in refusal(tmp_path)


def test_weights_that_nothing_here_uses_are_refused(checkpoints, tmp_path):
    folder = checkpoints / "image_captioning_pytorch" / "updown"
    shutil.copy(folder / "infos_updown.pkl", tmp_path)
    torch.save(torch.load(folder / "model.pth") | {"box_embed.weight": torch.ones(2)}, tmp_path / "model.pth")
    assert "box_embed.weight" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["aoa", "transformer", "updown_bn"])
def test_an_imported_model_is_saved_and_says_the_same(checkpoints, tmp_path, name):
    folder = checkpoints / "image_captioning_pytorch" / name
    assert import_model(str(folder), tmp_path / "model") == 0
    expected, bundle = read(folder / "expected.npz"), load_bundle(tmp_path / "model")
    memory = VisualMemory(expected["att_feats"], expected["att_masks"] > 0, expected["fc_feats"])
    ours = [
        one[0].words for one in describe(bundle.task.decoder, memory, bundle.task.vocabulary, bundle.task.generation)
    ]
    words = as_dict(read_pickle(next(folder.glob("infos*"))))["vocab"]
    assert ours == [[words[str(i)] for i in row if i] for row in expected["caption_beam_5"].tolist()]
