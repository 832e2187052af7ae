"""What a finished model says depends on the picture and on nothing else."""

import io
import itertools
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_model import DECODERS, WORDS, pictures, saved_model, tiny_bundle

import captioning
from captioning.errors import UserError
from captioning.generation.beam import diverse_beam
from captioning.generation.greedy import greedy
from captioning.media.images import ImageError
from captioning.media.pictures import as_picture
from captioning.models.bundle import load_bundle
from captioning.models.shipped import find_model
from captioning.tasks.captioning.caption import describe
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.load import load


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner(tiny_bundle(), device="cpu")


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_picture_gets_the_same_caption_alone_and_in_company(decoder):
    captioner, images = Captioner(tiny_bundle(decoder), device="cpu"), pictures(9)
    together = captioner.caption(images, details=True)
    assert len({caption.text for caption in together}) > 1, "pictures must matter for the test to mean anything"
    for image, one in zip(images, together, strict=True):
        alone = captioner.caption(image, details=True)
        assert alone.text == one.text and alone.words == one.words
        assert alone.score == pytest.approx(one.score, abs=1e-4)
        if decoder == "show_attend_tell":
            np.testing.assert_allclose(alone.attention, one.attention, atol=1e-5)


def test_permuting_pictures_permutes_captions(captioner):
    images, order = pictures(7), [3, 0, 6, 5, 1, 4, 2]
    captions = captioner.caption(images)
    shuffled = captioner.caption([images[i] for i in order])
    assert [caption.text for caption in shuffled] == [captions[i].text for i in order]


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_a_stream_keeps_its_order_around_pictures_that_cannot_be_read(captioner, tmp_path, batch_size):
    good = pictures(3)
    (tmp_path / "text.jpg").write_text("no picture")
    stream = [tmp_path / "text.jpg", good[0], tmp_path / "gone.png", tmp_path / "gone.png", good[1], good[2], 7]
    found = list(captioner.stream(stream, batch_size=batch_size))
    assert [image for image, _ in found] == stream
    assert [isinstance(each, UserError) for _, each in found] == [True, False, True, True, False, False, True]
    texts = [each[0].text for _, each in found if not isinstance(each, UserError)]
    assert texts == [caption.text for caption in captioner.caption(good)]
    assert "text.jpg" in str(found[0][1]) and "gone.png" in str(found[2][1])


def test_a_stream_without_end_takes_only_the_memory_of_a_batch(captioner):
    made = []

    def forever():
        for i in itertools.count():
            picture = Image.new("RGB", (4, 4), (i % 256, 0, 0))
            made.append(weakref.ref(picture))
            yield picture

    stream = itertools.islice(captioner.stream(forever(), batch_size=4), 20)
    assert max(sum(picture() is not None for picture in made) for _ in stream) <= 9


def test_any_kind_of_picture_is_the_same_picture(captioner, tmp_path):
    image = pictures(1)[0]
    image.save(tmp_path / "photo.png")
    alpha = image.copy()
    alpha.putalpha(255)
    array = np.asarray(image)
    tensor = torch.tensor(array).permute(2, 0, 1)
    ways = [image, array, np.asarray(alpha), alpha, tmp_path / "photo.png", str(tmp_path / "photo.png")]
    ways += [array / 255, (array / 255).astype(np.float32), tensor, tensor / 255, tensor.double() / 255]
    captions = captioner.caption([*ways, io.BytesIO((tmp_path / "photo.png").read_bytes())])
    assert len({caption.text for caption in captions}) == 1
    assert [caption.text for caption in captioner.caption(way for way in ways)] == [captions[0].text] * len(ways)
    with open(tmp_path / "photo.png", "rb") as file:  # which is an iterator of lines, too
        assert captioner.caption(file).text == captions[0].text


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (1, 300, 3), (300, 1, 4), (65, 31)])
def test_a_picture_may_be_grey_tiny_or_a_line(captioner, shape):
    assert captioner.caption(np.full(shape, 128, np.uint8)).text


@pytest.mark.parametrize(
    "wrong",
    [
        np.full((4, 4, 3), 1.5),
        np.full((4, 4), np.nan),
        np.zeros((4, 4, 3), np.int32),
        np.zeros((2, 4, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        Image.new("RGB", (0, 5)),
        torch.zeros(5, 4, 3),
        torch.zeros(2, 5, 4, 4),
        torch.full((3, 4, 4), -1.0),
        None,
    ],
    ids=["bright", "no number", "integers", "batch", "no height", "no width", "last", "tensors", "dark", "nothing"],
)
def test_what_is_no_picture_is_said_in_one_sentence(captioner, wrong):
    with pytest.raises(UserError) as error:
        captioner.caption(wrong)
    assert "\n" not in str(error.value)


def test_a_picture_opened_elsewhere_that_ends_too_soon_is_named(tmp_path):
    whole = io.BytesIO()
    Image.effect_noise((200, 200), 50).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[:3000])
    with pytest.raises(UserError, match=r"cut\.jpg"):
        as_picture(Image.open(tmp_path / "cut.jpg"))


def test_a_list_raises_for_its_first_unreadable_picture(captioner, tmp_path):
    with pytest.raises(ImageError, match=r"b\.jpg"):
        captioner.caption([pictures(1)[0], tmp_path / "b.jpg", tmp_path / "c.jpg"])


def test_no_pictures_have_no_captions(captioner):
    assert captioner.caption([]) == [] and list(captioner.stream(iter([]))) == []


def test_several_captions_are_best_first_and_begin_with_the_only_one(captioner):
    image = pictures(1)[0]
    several = captioner.caption(image, num_captions=4, beam_size=4)
    assert len({caption.text for caption in several}) == 4
    assert [caption.score for caption in several] == sorted((caption.score for caption in several), reverse=True)
    assert captioner.caption(image, beam_size=4).text == several[0].text


def test_more_captions_than_there_are_come_as_those_there_are(captioner):
    image = pictures(1)[0]
    found = captioner.caption(image, num_captions=50, max_words=1)
    assert 1 <= len(found) <= len(WORDS) and all(np.isfinite(caption.score) for caption in found)


def test_a_beam_size_asks_a_greedy_model_for_beam_search_under_its_own_limits():
    bundle = tiny_bundle()
    image = pictures(1)[0]
    usual = Captioner(bundle, device="cpu").caption(image, beam_size=4).words
    bundle.task.generation = partial(greedy, forbidden_words=usual)
    captioner = Captioner(bundle, device="cpu")
    searched = captioner.caption(image, beam_size=4)
    assert captioner.strategy({}).func is greedy
    assert not set(searched.words) & set(usual)


def test_details_belong_to_the_words(captioner):
    caption = captioner.caption(pictures(1)[0], details=True)
    assert len(caption.words) == len(caption.attention) and caption.attention.shape[1] == 4
    np.testing.assert_allclose(caption.attention.sum(1), 1, atol=1e-5)
    assert sum(caption.log_probabilities) == pytest.approx(caption.score, abs=1e-4)
    assert str(caption) == caption.text


def test_an_unknown_option_is_named(captioner):
    with pytest.raises(UserError, match="beem_size"):
        captioner.caption(pictures(1)[0], beem_size=3)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "meta", ""])
def test_a_device_that_is_not_there_is_said_in_one_line(device):
    if device == "":
        assert Captioner(tiny_bundle(), device=device).device.type in ("cpu", "cuda")
        return
    with pytest.raises(UserError, match=device) as error:
        Captioner(tiny_bundle(), device=device)
    assert "\n" not in str(error.value)


def test_a_model_is_found_by_folder_by_run_and_by_name_from_any_folder(tmp_path, monkeypatch):
    model = saved_model(tmp_path / "runs/mine/model")
    images = pictures(3)
    expected = [caption.text for caption in load(model).caption(images)]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    here, there = ["mine", "runs/mine", "runs/mine/model"], ["../runs/mine", model.parent]
    for place, names in (tmp_path, here), (elsewhere, there):
        monkeypatch.chdir(place)
        for name in names:
            assert [caption.text for caption in captioning.load(name).caption(images)] == expected


@pytest.mark.parametrize("name", ["nothing", "x" * 5000, "no/such/folder", "nul\0l"])
def test_a_model_that_is_not_there_is_said_with_where_it_was_looked_for(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no model"):
        find_model(name)


def test_describing_a_memory_is_captioning_its_picture(captioner):
    images = pictures(4)
    encoder = captioner.encoder
    with torch.inference_mode():
        memory = encoder(encoder.collate([encoder.read(image) for image in images]))
    described = describe(captioner.decoder, memory, captioner.vocabulary, captioner.strategy({}))
    assert [best[0].text for best in described] == [caption.text for caption in captioner.caption(images)]


def test_a_diverse_search_stays_one_unless_a_beam_is_asked_for():
    bundle = tiny_bundle()
    bundle.task.generation = partial(diverse_beam, beam_size=4, groups=2)
    captioner = Captioner(bundle, device="cpu")
    assert captioner.strategy({"min_words": 2}).func is diverse_beam
    assert len(captioner.caption(pictures(1)[0], num_captions=3)) == 3


def test_a_bundle_may_be_loaded_on_another_thread_than_it_was_made(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    model = saved_model(tmp_path / "m")
    with ThreadPoolExecutor(2) as pool:
        bundles = list(pool.map(load_bundle, [model] * 4))
    assert len(bundles) == 4
