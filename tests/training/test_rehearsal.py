"""What validation, a finished model or a second phase will need is found wanting before the first step."""

import logging

import pytest
import torch
from tiny_runs import configuration

from captioning.errors import UserError
from captioning.training.train import train

ONE = "trainer.max_epochs=1"
SECOND = ["then=self_critical", "then.trainer.max_epochs=1"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["generation.beam_size=0"], "beam_size"),
        (["generation.num_captions=9"], "num_captions"),
        (["generation.length_normalisation=none_such"], "length_normalisation"),
        (["generation.forbidden_words=[zyzzyva]"], "zyzzyva"),
        (["generation=consensus"], "remember"),
        (["generation=sampling", "generation.temperature=-1"], "temperature"),
        (["validation.generation.block_ngrams=-1"], "block_ngrams"),
        (["optimizer.lr=-1"], "optimizer"),
        (["+optimizer.betas=[2,3]"], "optimizer"),
        ([*SECOND, "then.optimizer.lr=-1"], "then: optimizer"),
        ([*SECOND, "then.objective.num_samples=1"], "then: .*num_samples"),
        ([*SECOND, "+then.trainer.precision=7"], "then: trainer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_setting_that_would_fail_at_the_end_is_refused_before_the_first_step(tmp_path, options, named):
    with pytest.raises(UserError, match=named):
        train(configuration(ONE, *options), tmp_path)
    assert not list(tmp_path.glob("csv*")) and not list(tmp_path.glob("checkpoints/*"))


def test_a_place_that_no_model_can_go_to_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/holiday.txt").write_text("mine")
    with pytest.raises(UserError, match="is not a model"):
        train(configuration(ONE), tmp_path)
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.parametrize(
    ("options", "named"), [(["optimizer.lr=0.0"], "nothing will be learned"), (["objective=self_critical"], "start=")]
)
def test_what_learns_nothing_or_cannot_speak_yet_is_warned_of(tmp_path, caplog, options, named):
    with caplog.at_level(logging.WARNING, "captioning"):
        train(configuration(*options, "debug=few_steps", "name=tiny"), tmp_path)
    assert named in caplog.text


def test_a_rehearsal_leaves_weights_and_random_numbers_alone():
    from hydra.utils import instantiate

    from captioning.training.model_parts import part_of

    config = configuration("generation=sampling")
    encoder, task = instantiate(config.encoder), instantiate(config.task, _recursive_=False, _convert_="all")
    task.fit(instantiate(config.data).examples("train"))
    task.build(encoder, part_of)
    before, dice = {name: tensor.clone() for name, tensor in task.state_dict().items()}, torch.get_rng_state()
    task.rehearse(encoder)
    assert torch.equal(dice, torch.get_rng_state()) and task.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.state_dict().items())
