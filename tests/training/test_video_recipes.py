"""The recipes for MSR-VTT and MSVD train on clips in the official layout, and end in the benchmark's table.

They differ in nothing but their data, their decoder and whether they see motion, so that four of them run for sixteen.
"""

import re

import pytest
from clip_layouts import MSRVTT2017, MSVDSentences
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from captioning.commands.hydra import conf_folder, experiments, run, usual_name

LAYOUTS = {"msrvtt": MSRVTT2017, "msvd": MSVDSentences}
RECIPES = sorted(name for name in experiments() if name.startswith("ms"))
# every decoder, and every data set with and without motion
RUN = ("msrvtt_mean_pool", "msvd_s2vt_motion", "msrvtt_sa_lstm_motion", "msvd_transformer")
SMALL = {"width": 16, "embedding": 16, "visual": 16, "attention": 8, "feed_forward": 16, "heads": 2, "layers": 1,
         "encoder_layers": 1}  # fmt: skip
TINY = """
    encoder.image.backbone=test_resnet encoder.image.weights=none encoder.image.size=32 encoder.sampling.frames=3
    batch_size=2 captions_per_image=2 vocabulary.min_count=1 progress=false trainer.accelerator=cpu
    trainer.max_epochs=1 trainer.log_every_n_steps=1 seed=3 patience=null
""".split()
MOTION = "encoder.motion.backbone=mc3_18 encoder.motion.weights=none encoder.motion.frames=2 encoder.motion.size=32"


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory):
    """A miniature of each benchmark, from .mp4 files on, and a cache that all recipes share."""
    folder = tmp_path_factory.mktemp("benchmarks")
    for name, layout in LAYOUTS.items():
        (folder / name).mkdir()
        layout(folder / name).write()
    return folder


def composed(recipe):
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose("train", [usual_name(f"experiment={recipe}")])


def test_both_benchmarks_have_every_model_with_and_without_motion():
    models = ("mean_pool", "s2vt", "sa_lstm", "transformer")
    assert {f"{data}_{model}{end}" for data in LAYOUTS for model in models for end in ("", "_motion")} == set(RECIPES)


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe.startswith("msrvtt_")])
def test_recipes_differ_in_what_their_names_say(recipe):
    here, there = (composed(name) for name in (recipe, recipe.replace("msrvtt_", "msvd_")))
    still = composed(recipe.removesuffix("_motion"))
    assert here.encoder.sampling.frames == 25 and here.name == recipe
    there.captions_per_image = here.captions_per_image  # about as many as clips have
    if "transformer" in recipe:  # as those who published the scores
        assert (there.encoder.sampling.frames, there.batch_size, there.generation.beam_size) == (50, 64, 5)
        there.encoder.sampling.frames, there.batch_size, there.generation.beam_size = 25, here.batch_size, 2
    assert (here.encoder.motion is not None) == recipe.endswith("_motion")
    here, there, still = (OmegaConf.to_container(config, resolve=False) for config in (here, there, still))
    assert there["data"]["_target_"] == "captioning.data.benchmarks.msvd.MSVD" != here["data"]["_target_"]
    for part in ("name", "data", "data_terms"):
        del here[part], there[part], still[part]
    here["trainer"]["max_epochs"] = there["trainer"]["max_epochs"] = still["trainer"]["max_epochs"]
    assert here == there
    here["encoder"]["motion"] = still["encoder"]["motion"]
    assert here == still


@pytest.mark.parametrize("recipe", RUN)
def test_a_recipe_goes_from_clips_to_a_score_table(recipe, benchmarks, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CAPTIONING_DATA", str(benchmarks))
    monkeypatch.setenv("CAPTIONING_CACHE", str(benchmarks / "cache"))
    monkeypatch.chdir(tmp_path)
    config, data = composed(recipe), recipe.split("_")[0]
    overrides = [f"decoder.{key}={value}" for key, value in SMALL.items() if key in config.decoder]  # a small decoder
    overrides += [*TINY, *(MOTION.split() if config.encoder.motion else [])]
    assert run("train", [f"experiment={recipe}", "data.on_missing=skip", *overrides]) == 0  # three clips, not 6,513
    scored = [f"model={recipe}", f"data={data}", "data.split=test", "data.on_missing=skip"]
    assert run("evaluate", [*scored, "metrics=[bleu,rouge,cider]"]) == 0
    table = capsys.readouterr().out
    assert f"{data} test, 1 clips, 2 references" in table
    assert all(re.search(rf"{name} +\d+\.\d\d\n", table) for name in ("BLEU-4", "ROUGE-L", "CIDEr"))


def test_published_scores_are_named_where_there_are_any():
    for recipe in RECIPES:
        text = experiments()[recipe].read_text()
        assert re.search(r"METEOR|as \w+|To beat", text), recipe
