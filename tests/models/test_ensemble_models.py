"""Several finished models as one."""

from dataclasses import replace

import pytest
import torch
from tiny_model import pictures, saved_model, tiny_bundle
from typer.testing import CliRunner

from captioning.cli import app
from captioning.encoders.grid import GridEncoder
from captioning.encoders.side_by_side import SideBySide
from captioning.errors import UserError
from captioning.models.bundle import load_bundle, save_bundle
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.captioning.ensemble import join
from captioning.text.vocabulary import Vocabulary


def other_bundle(*, backbone="test_resnet", decoder="show_and_tell"):
    """Of the same words; by default of another encoder than `tiny_bundle`."""
    bundle = tiny_bundle(decoder)
    torch.manual_seed(11)
    config = bundle.encoder_config | {"backbone": backbone}
    encoder = GridEncoder(**{key: value for key, value in config.items() if key != "_target_"}).eval()
    return replace(bundle, encoder=encoder, encoder_config=config)


def mean_of(bundles, images):
    """Log-probabilities of the first word by every model alone, averaged."""
    found = []
    for bundle in bundles:
        memory = bundle.encoder(bundle.encoder.collate([bundle.encoder.read(image) for image in images]))
        context = bundle.task.decoder.prepare(memory)
        first = torch.full((len(images), 1, 1), 1)
        found.append(bundle.task.decoder(context, first).log_softmax(-1))
    return torch.stack(found).mean(0).log_softmax(-1)


@torch.no_grad()
def test_every_decoder_goes_on_seeing_what_its_own_encoder_gives():
    bundles = [tiny_bundle(), other_bundle()]
    joined, images = join(bundles, ["one", "other"]), pictures(3)
    assert isinstance(joined.encoder, SideBySide)
    torch.testing.assert_close(mean_of([joined], images), mean_of(bundles, images))


@torch.no_grad()
def test_a_common_encoder_is_kept_once():
    bundles = [tiny_bundle(), tiny_bundle("show_and_tell")]
    joined, images = join(bundles, ["one", "other"]), pictures(3)
    assert joined.encoder is bundles[0].encoder
    torch.testing.assert_close(mean_of([joined], images), mean_of(bundles, images))


@torch.no_grad()
def test_a_joined_model_can_be_joined_again():
    pair = join([tiny_bundle(), other_bundle()], ["one", "other"])
    more, images = join([pair, other_bundle()], ["pair", "other"]), pictures(3)
    assert len(more.encoder.encoders) == 2, "the other encoder is there already"
    torch.testing.assert_close(mean_of([more], images), mean_of([pair, other_bundle()], images))


def test_a_joined_model_is_a_model(tmp_path):
    joined = join([tiny_bundle(), other_bundle()], ["one", "other"])
    folder = save_bundle(tmp_path / "both", joined, card="# both")
    ours, again = (
        [one.text for one in Captioner(bundle).caption(pictures(4))] for bundle in (joined, load_bundle(folder))
    )
    assert ours == again


def test_the_command(tmp_path):
    saved_model(tmp_path / "one")
    save_bundle(tmp_path / "other", other_bundle(), card="# other\n\nWhat it is.\n")
    found = CliRunner().invoke(
        app, ["ensemble", str(tmp_path / "one"), str(tmp_path / "other"), "--output", str(tmp_path / "both"), "--half"]
    )
    assert found.exit_code == 0, found.output
    assert Captioner(load_bundle(tmp_path / "both")).caption(pictures(1)[0]).text
    text = (tmp_path / "both" / "README.md").read_text()
    assert text.startswith("# both\n") and "## other\n\nWhat it is." in text


def test_other_words_cannot_be_averaged():
    other = other_bundle()
    other.task.vocabulary = Vocabulary(["a", "cat"], max_words=6)
    with pytest.raises(UserError, match="two and one have other words"):
        join([tiny_bundle(), other], ["one", "two"])


def test_encoders_of_other_sizes_do_not_stand_side_by_side():
    other = other_bundle()
    other.encoder.size = 96
    with pytest.raises(UserError, match="only grids join"):
        join([tiny_bundle(), other], ["one", "two"])
