"""`precision=auto` is bfloat16 where the processor has it and the model's scores were measured to be the same in it;
single precision everywhere else: never what is slower, never for a model that nobody measured."""

import hashlib
import json
from importlib.resources import files

import pytest
import torch
from tiny_model import pictures, saved_model

from captioning.errors import UserError
from captioning.models.shipped import find_model
from captioning.runtime import precision
from captioning.runtime.precision import computing_in, processor_has_bf16, working_precision
from captioning.tasks.load import equal_in_bf16, load

CPU = torch.device("cpu")
MEASURED = json.loads(files("captioning.models").joinpath("equal_in_bf16.json").read_text())


@pytest.mark.parametrize("has", [True, False])
@pytest.mark.parametrize("equal", [True, False])
def test_auto_is_bf16_where_it_is_faster_and_the_scores_are_equal(monkeypatch, has, equal):
    monkeypatch.setattr(precision, "processor_has_bf16", lambda: has)
    assert working_precision("auto", CPU, equal=equal) == ("bf16" if has and equal else "32")
    assert working_precision("32", CPU, equal=equal) == "32"
    with pytest.raises(UserError, match="precision=16: it is 32, bf16, auto"):
        working_precision("16", CPU, equal=equal)
    if has:
        assert working_precision("bf16", CPU, equal=equal) == "bf16"
    else:
        with pytest.raises(UserError, match="would be slower"):
            working_precision("bf16", CPU, equal=equal)


@pytest.mark.parametrize("digest", MEASURED)
def test_what_is_said_to_be_equal_was_measured_of_a_shipped_model_on_dev(digest):
    said = MEASURED[digest]
    weights = (find_model(said["model"]) / "weights.safetensors").read_bytes()
    there = hashlib.sha256(weights).hexdigest()
    assert equal_in_bf16(said["model"]) == (there in MEASURED), "other weights are another model"
    assert there == digest or MEASURED.get(there, said)["model"] == said["model"]
    assert said["images"] == 1000 and "CIDEr" in said["difference"]
    for name, (value, low, high) in said["difference"].items():
        assert low <= value <= high and low <= 0 <= high, f"{name} is not equal within its interval"


def test_a_model_that_nobody_measured_stays_in_single_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "processor_has_bf16", lambda: True)
    model = saved_model(tmp_path / "model")
    assert not equal_in_bf16(model)
    assert load(model, device="cpu", precision="auto").precision == "32"
    assert load(model, device="cpu", precision="bf16").precision == "bf16"


def test_products_are_in_bf16_and_scores_in_single_precision(tmp_path):
    if not processor_has_bf16():
        pytest.skip("this processor has no bfloat16")
    a, b = torch.randn(8, 8), torch.randn(8, 8)
    with computing_in("bf16", CPU):
        assert (a @ b).dtype == torch.bfloat16
    with computing_in("32", CPU):
        assert torch.equal(a @ b, a.matmul(b)) and (a @ b).dtype == torch.float32
    folder = saved_model(tmp_path / "model")
    model, single = load(folder, device="cpu", precision="bf16"), load(folder, device="cpu")
    said, exact = (captioner.caption(pictures(4), beam_size=1, max_words=1) for captioner in (model, single))
    assert [one.score for one in said] == pytest.approx([one.score for one in exact], rel=0.5), "of an untrained model"
    assert [one.score for one in said] != [one.score for one in exact]
    assert any(one.score != torch.tensor(one.score).bfloat16().item() for one in said), "more digits than bfloat16 has"
