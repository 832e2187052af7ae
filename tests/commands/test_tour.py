"""The demo goes the whole way, here in small, and ends with a page that holds what it says."""

from captioning.commands.tour import STRATEGIES, tour

SMALL = """
    data.train=24 data.val=6 data.test=5 data.unseen=4 data.size=64 encoder.size=64
    encoder.backbone=test_resnet.r160_in1k encoder.weights=none trainer.max_epochs=1 progress=false
    trainer.accelerator=cpu
""".split()


def test_the_tour_ends_with_one_page_of_pictures_captions_scores_and_curves(tmp_path):
    text = tour(tmp_path / "demo", SMALL).read_text()
    assert text.count("data:image") >= 5
    assert "CIDEr" in text and "new pairs of colour and shape" in text and "<svg" in text
    assert all(name in text for name in STRATEGIES)
    assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text
    again = tour(tmp_path / "demo", SMALL)  # a finished training is not begun again
    assert again.read_text() == text
