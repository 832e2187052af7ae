"""What a person does with a captioner in Python: stream a folder, score, look at a caption."""

import re
import threading

import numpy as np
import pytest
from PIL import Image
from tiny_model import pictures, tiny_bundle

import captioning
from captioning.data.synthetic.scenes import Scenes
from captioning.errors import UserError
from captioning.metrics.caption_scores import score_captions
from captioning.runtime.prefetch import read_ahead
from captioning.tasks.captioning.captioner import Captioner


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner(tiny_bundle(), device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "deep").mkdir()
    for i, image in enumerate(pictures(9)):
        image.save(folder / ("deep" if i > 6 else ".") / f"{i}.png")
    return folder


def test_every_public_name_is_there_and_documented():
    for name in captioning.__all__:
        assert name == "__version__" or getattr(captioning, name).__doc__


def test_a_folder_is_streamed_with_a_bar_like_its_files(captioner, folder, capsys):
    found = list(captioner.stream(folder, recursive=True, progress=True, batch_size=4))
    assert [path.name for path, _ in found] == [f"{i}.png" for i in range(9)]
    expected = captioner.caption([path for path, _ in found])
    assert [best.text for _, (best,) in found] == [caption.text for caption in expected]
    assert "9/9" in capsys.readouterr().err
    assert len(list(captioner.stream(str(folder)))) == 7


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_reading_ahead_changes_nothing(captioner, folder, workers, batch_size):
    paths = [*sorted(folder.glob("*.png")), folder / "gone.png"]
    expected = [caption.text for caption in captioner.caption(paths[:-1])]
    found = [each for _, each in captioner.stream(iter(paths), workers=workers, batch_size=batch_size)]
    assert [each[0].text for each in found[:-1]] == expected and isinstance(found[-1], UserError)


def test_one_batch_is_read_while_the_last_is_used_and_no_more():
    asked, read = [], []

    def items():
        for i in range(20):
            asked.append(i)
            yield i

    for number, batch in enumerate(read_ahead(items(), lambda i: read.append(i) or -i, batch_size=5, workers=2)):
        assert batch == [(i, -i) for i in range(5 * number, 5 * number + 5)]
        assert len(asked) == min(20, 5 * number + 10)
    assert sorted(read) == list(range(20))


def test_without_workers_a_live_stream_is_answered_at_once(captioner):
    asked = []
    live = (asked.append(i) or image for i, image in enumerate(pictures(3)))
    for number, _ in enumerate(captioner.stream(live, batch_size=1, workers=0)):
        assert len(asked) == number + 1


def test_a_stream_that_is_left_ends_its_threads(captioner, folder):
    stream = captioner.stream([folder / "0.png"] * 50, batch_size=2, workers=2)
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("captioning-reader")]


def test_one_lazy_image_many_times_is_the_same_each_time(captioner, folder):
    with Image.open(folder / "0.png") as image:
        assert len({caption.text for caption in captioner.caption([image] * 32)}) == 1


def test_scores_are_those_of_the_metrics_for_the_same_captions(captioner, folder):
    paths = sorted(folder.glob("*.png"))
    references = {path: ["a dog runs on grass", "the cat sits"] for path in paths}
    said = dict(zip(paths, (caption.text for caption in captioner.caption(paths)), strict=True))
    expected = score_captions(references, said, ("bleu", "cider")).corpus
    assert captioner.score(references, metrics=("bleu", "cider")) == expected
    by_name = {path.name: captions for path, captions in references.items()}
    assert captioner.score(by_name, images=folder, metrics=("bleu", "cider")) == expected
    by_number = dict(enumerate(references.values()))
    assert captioner.score(by_number, images=dict(enumerate(paths)), metrics=("bleu", "cider")) == expected


def test_a_caption_scored_against_itself_is_perfect(captioner):
    images = dict(enumerate(pictures(4)))
    said = {key: captioner.caption(image, min_words=4).text for key, image in images.items()}
    assert captioner.score(said, images=images, min_words=4)["BLEU-4"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("references", "images", "names"),
    [({}, None, "references"), ({"gone.png": "a dog"}, None, "gone.png"), ({7: ["a"]}, {}, "7"), ({7: []}, {}, "7")],
)
def test_scores_that_cannot_be_had_name_the_picture(captioner, references, images, names):
    with pytest.raises(UserError, match=names):
        captioner.score(references, images=images)


def test_a_caption_shows_its_picture_and_a_map_for_each_word(captioner):
    image = pictures(1)[0].resize((640, 320))
    caption = captioner.caption(image, details=True)
    html = caption._repr_html_()
    assert caption.picture.size == (320, 160) and caption.text in html
    assert html.count('class="heat"') == len(caption.words) and html.count("data:image/jpeg") == 1
    assert not re.search(r"<script|https?:|src=\"(?!data:)", html)
    assert captioner.caption(image).picture is None and "<img" not in captioner.caption(image)._repr_html_()


def test_a_caption_shows_as_text_only_what_could_be_markup():
    caption = captioning.Caption("<b>&", float("-inf"), ["<b>", "&"], None, np.full((2, 4), 0.25))
    caption = captioning.Caption(**{**vars(caption), "picture": Image.new("RGB", (8, 8))})
    html = caption._repr_html_()
    assert "&lt;b&gt;&amp;" in html and "<b>" not in html and "inf" not in html


@pytest.mark.parametrize(
    "options",
    [
        {"num_captions": "3"},
        {"num_samples": "3"},
        {"batch_size": "4"},
        {"batch_size": 2.5},
        {"batch_size": 0},
        {"workers": "2"},
        {"workers": -1},
        {"beam_size": "3"},
        {"num_captions": None},
        {"temperature": "hot"},
        {"max_words": "9"},
    ],
    ids=str,
)
def test_an_option_that_is_no_number_is_one_sentence_that_names_it(options):
    captioner = Captioner(tiny_bundle(), device="cpu")
    (name,) = options
    with pytest.raises(UserError, match=name):
        captioner.caption(pictures(1), **options)
    with pytest.raises(UserError, match=name):
        list(captioner.stream(pictures(1), **options))


@pytest.mark.parametrize("options", [{"batch_size": "4"}, {"batch_size": 0}, {"num_workers": -1}], ids=str)
def test_a_split_is_predicted_in_batches_of_a_whole_number(options):
    with pytest.raises(UserError, match=next(iter(options))):
        Captioner(tiny_bundle(), device="cpu").predict_split(Scenes(test=1), "test", **options)
