"""A model that reads no concepts goes on with them: what it was stays, what is new is fresh."""

from onnx_detector import saved
from small import assert_same
from test_concepts_training import CONCEPTS, DECODER
from tiny_runs import configuration

from captioning.commands.concepts import apply
from captioning.models.bundle import load_bundle
from captioning.training.train import train


def test_a_start_without_concepts_is_what_the_decoder_of_concepts_begins_with(tmp_path):
    still = ["optimizer.lr=0.0", "trainer.max_epochs=1", "data.train=8"]
    train(configuration(*DECODER, *still), tmp_path / "plain")
    plain = load_bundle(tmp_path / "plain/model")
    new = [f"start={tmp_path / 'plain/model'}", f"concepts.detector.file={saved(tmp_path / 'detector.onnx')}"]
    config = configuration(*DECODER, *CONCEPTS, *still, *new)
    apply(config)
    train(config, tmp_path / "more")
    more = load_bundle(tmp_path / "more/model")
    for before, after in ((plain.encoder, more.encoder.encoder), (plain.task.decoder, more.task.decoder.decoder)):
        states = before.state_dict(), after.state_dict()
        assert states[0].keys() == states[1].keys()
        for name in states[0]:
            assert_same(states[1][name].float(), states[0][name].float())
