"""What is wrong with a configuration is said in a line or two, from any folder, without a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import captioning  # noqa: F401  the command, as a fixture
from tiny_model import saved_model

from captioning.commands import hydra
from captioning.commands.hydra import conf_folder
from captioning.errors import UserError

SCENES = ["data=scenes", "data.train=4", "vocabulary.min_count=1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "experiment=nonsense"], "nonsense"),
        (["train", "data=nonsense"], "nonsense"),
        (["train", "bath_size=3"], "bath_size"),
        (["train", "decoder.widht=3"], "widht"),
        (["train", "+decoder.widht=3", *SCENES, "store=null", "encoder.weights=none"], "widht"),
        (["train", "batch_size=[1"], "[1"),
        (["train", "batch_size"], "train takes KEY=VALUE, and 'batch_size' is none"),
        (["remember", "photos"], "'photos' is none: see captioning remember --help"),
        (["train", "-m", "seed=1,2", "more"], "'more' is none"),
        (["train", "batch_size=many"], "batch_size=many"),
        (["train", "batch_size=1.5"], "batch_size=1.5"),
        (["train", "progress=3"], "progress=3"),
        (["train", "decoder.width=wide"], "decoder.width=wide"),
        (["train", "vocabulary.min_count=true"], "vocabulary.min_count"),
        (["train", "optimizer.lr=fast"], "optimizer.lr=fast"),
        (["train", "name=${nowhere}"], "nowhere"),
        (["train", "data=scenes", "data.size=${nowhere}"], "nowhere"),
        (["train", "data.root=gone"], "gone"),
        (["train", "data=table"], "add data.file="),
        (["train", "data=table", "data.file=gone.csv"], "gone.csv"),
        (["train", "data.on_missing=perhaps"], "perhaps"),
        (["train", *SCENES, "encoder.backbone=resnet101x"], "resnet101x"),
        (["train", *SCENES, "encoder.weights=gone.safetensors"], "gone.safetensors"),
        (["train", *SCENES, "encoder.size=-3"], "encoder.size"),
        (["train", *SCENES, "+encoder.siez=3"], "siez"),
        (["train", *SCENES, "resume=gone.ckpt"], "gone.ckpt"),
        (["train", *SCENES, "vocabulary.min_count=99999"], "min_count"),
        (["evaluate"], "add model="),
        (["evaluate", "model=gone"], "gone"),
        (["evaluate", "model=MODEL", "data.root=gone"], "gone"),
        (["evaluate", "model=MODEL", "data=scenes", "data.split=nonsense"], "nonsense"),
        (["evaluate", "model=MODEL", "device=nonsense"], "nonsense"),
        (["evaluate", "model=MODEL", "generation=nonsense", "data.root=gone"], "nonsense"),
        (["evaluate", "model=MODEL", "data=scenes", "+generation.alpha=2"], "generation=beam"),
        (["extract", "data.root=gone"], "flickr8k"),
        (["extract", "data=nonsense"], "nonsense"),
        (["extract", "encoder=nonsense"], "nonsense"),
        (["extract", "data=scenes", "batch_size=x"], "batch_size=x"),
        (["extract", "check=true"], "store"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_mistake_in_a_configuration_is_status_2_and_named(captioning, tmp_path, arguments, message):  # noqa: F811
    if "model=MODEL" in arguments:
        saved_model(tmp_path / "m")
        arguments = [argument.replace("MODEL", "m") for argument in arguments]
    status, _, errors = captioning(*arguments)
    assert status == 2
    assert any(message in error for error in errors), errors
    assert len([error for error in errors if not error.startswith("\t")]) <= 8  # below which Hydra lists the names


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["train", "bath_size=3"], "batch_size"),
        (["train", "+bath_size=3", "data=scenes"], "batch_size"),
        (["train", "decoder.widht=3"], "decoder.width"),
        (["train", "+decoder.widht=3", "data=scenes"], "decoder.width"),
        (["train", "+trainer.max_tiem=3", "data=scenes"], "trainer.max_time"),
        (["train", "+vocabulary.min_cuont=3", "data=scenes"], "vocabulary.min_count"),
        (["train", "then=self_critical", "+then.optimiser.lr=3", "data=scenes"], "then.optimizer"),
        (["train", "then=self_critical", "+then.objective.num_sample=3", "data=scenes"], "then.objective.num_samples"),
        (["train", "decoder=show_and_tel"], "decoder=show_and_tell"),
        (["train", "experiment=coco_updown"], "experiment=coco_up_down"),
        (["evaluate", "+batchsize=3", "model=m"], "batch_size"),
        (["evaluate", "generation=baem", "model=m"], "generation=beam"),
        (["extract", "+data.on_mising=skip"], "data.on_missing"),
        (["remember", "+neighbors=3", "model=m", "output=n"], "neighbours"),
        (["regions", "+encoder.nms_treshold=1", "encoder.detector.file=x"], "encoder.nms_threshold"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_key_that_nothing_reads_is_refused_with_the_nearest_one(captioning, arguments, meant):  # noqa: F811
    status, _, errors = captioning(*arguments)
    assert status == 2 and f"Did you mean {meant}?" in "\n".join(errors), errors


@pytest.mark.parametrize("name", ["flickr8k_transformer", "flickr8k/transformer", "msvd_s2vt_motion"])
def test_an_experiment_in_a_folder_of_its_benchmark_is_called_by_both_names(captioning, name):  # noqa: F811
    status, lines, errors = captioning("train", name if "=" in name else f"experiment={name}", "--cfg", "job")
    assert (status, errors) == (0, []) and f"name: {name.split('=')[-1].replace('/', '_')}" in lines


def test_a_name_that_other_keys_refer_to_is_ones_own_business(captioning):  # noqa: F811
    status, _, errors = captioning("train", "+half=128", "decoder.width=${half}", "data.root=gone")
    assert status == 2 and not any("half" in error for error in errors)


@pytest.mark.parametrize("verb", hydra.VERBS)
def test_the_configuration_of_a_verb_can_be_printed_from_anywhere(captioning, verb):  # noqa: F811
    status, lines, errors = captioning(verb, "--cfg", "job", "data=scenes")
    assert (status, errors) == (0, []) and "data:" in lines


def test_what_hydra_is_asked_to_tell_is_told_once(tmp_path):
    program = [sys.executable, "-m", "captioning.cli", "train", "data=scenes", "--info", "searchpath"]
    environment = {**os.environ, "PYTHONPATH": str(Path(hydra.__file__).parents[2])}
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout.count("Config search path") == 1
    assert "Config search path" not in done.stderr


def test_a_bug_in_a_verb_is_status_1_with_a_traceback(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("captioning.commands.extract.examples_of", lambda *_: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["captioning"])
    assert hydra.run("extract", ["data=scenes", "encoder.weights=none", "encoder.backbone=test_resnet"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_number_may_take_any_value_of_its_type(captioning):  # noqa: F811
    from omegaconf import OmegaConf

    fits = hydra.fits
    assert fits(3, 1.0) and fits(None, 4) and fits("x", None) and fits(7, "name") and fits(OmegaConf.create([1]), [2])
    assert not fits("x", 1) and not fits(1.5, 1) and not fits(True, 1) and not fits(1, True) and not fits("a", [1])


def test_a_store_is_filled_by_the_command(captioning, tmp_path):  # noqa: F811
    small = ["data=scenes", "data.train=3", "data.val=2", "data.test=2", "data.unseen=0", "data.size=${encoder.size}"]
    tiny = ["encoder.backbone=test_resnet", "encoder.weights=none", "encoder.size=32", "num_workers=0"]
    small.append("store=features")
    status, _, errors = captioning("extract", *small, *tiny, "splits=[train,val]")
    assert status == 0, errors
    assert (tmp_path / "features/store.json").is_file() and not (tmp_path / ".hydra").exists()


def test_conf_is_taken_from_the_package_before_the_checkout(monkeypatch, tmp_path):
    assert (conf_folder() / "train.yaml").is_file()
    package = tmp_path / "site-packages/captioning"
    (package / "conf").mkdir(parents=True)
    monkeypatch.setattr(hydra, "__file__", str(package / "commands" / "hydra.py"))
    with pytest.raises(UserError, match="missing"):
        conf_folder()
    (package / "conf/train.yaml").write_text("")
    assert conf_folder() == package / "conf"


def test_every_file_of_conf_can_be_read():
    import yaml

    found = [Path(place, name) for place, _, names in os.walk(conf_folder()) for name in names]
    assert len(found) > 20 and all(path.suffix == ".yaml" for path in found)
    for path in found:
        yaml.safe_load(path.read_text())


def test_every_model_has_a_folder_of_its_own_for_what_is_found_of_it(tmp_path, monkeypatch):
    for run in ("runs/one", "runs/two", "flickr8k"):
        (tmp_path / run / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    models = ["runs/one", "runs/two", "flickr8k/model", str(tmp_path.parent / "far/model"), "group/name", "a:b c"]
    names = [hydra.folder_name(model) for model in models]
    assert len(set(names)) == len(names) and not any(set("/: ") & set(name) for name in names)
    assert names[0] == hydra.folder_name("runs/one/model") == hydra.folder_name(f"{tmp_path}/runs/one/") == "runs-one"


def test_the_evaluation_of_a_second_model_leaves_that_of_the_first(captioning, tmp_path):  # noqa: F811
    common = ["data=scenes", "data.test=2", "data.split=test", "metrics=[cider]", "store=null"]
    for name in ("one", "two"):
        saved_model(tmp_path / "runs" / name / "model")
        assert captioning("evaluate", f"model=runs/{name}", *common)[0] == 0
    found = {path.parent.name for path in (tmp_path / "evaluations").glob("*/predictions.json")}
    assert found == {"runs-one-scenes-test", "runs-two-scenes-test"}


@pytest.mark.parametrize("verb", hydra.VERBS)
def test_the_help_of_a_verb_names_its_groups_and_what_is_in_them_without_hydra_or_torch(verb):
    program = (
        "import sys; from captioning.cli import app\n"
        f"sys.argv = ['captioning', {verb!r}, '--help']\n"
        "try: app()\n"
        "finally: print(sorted({'torch', 'hydra', 'omegaconf'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    words = done.stdout.replace(",", " ").split()
    assert {"Groups", "data", "flickr8k", "table", "--cfg"} <= set(words)
    if verb == "train":
        assert {"experiment", "flickr8k_transformer", "decoder", "up_down", "logger", "debug"} <= set(words)


def test_a_bare_train_starts_nothing_and_says_how_to(captioning, tmp_path):  # noqa: F811
    status, lines, errors = captioning("train")
    assert status == 2 and not lines and "data=table" in " ".join(errors)
    assert not (tmp_path / "runs").exists()


def test_classes_in_the_folder_where_one_works_are_found_in_training_and_by_leave(tmp_path):
    (tmp_path / "beside.py").write_text(
        "from captioning.decoders.show_and_tell import ShowAndTell\n\n\nclass Mine(ShowAndTell):\n    pass\n"
    )
    tiny = "data=scenes data.train=6 data.val=2 data.test=2 data.unseen=0 data.size=32 encoder.size=32".split()
    tiny += (
        "encoder.backbone=test_resnet encoder.weights=none batch_size=3 vocabulary.min_count=1 progress=false".split()
    )
    own = "decoder=show_and_tell decoder.width=8 decoder.embedding=8 decoder._target_=beside.Mine name=mine".split()
    package = str(Path(hydra.__file__).parents[2])

    def command(*arguments: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"}
        program = [sys.executable, "-P"] if sys.version_info >= (3, 11) else [sys.executable]
        program += ["-c", "from captioning.cli import main; main()", *arguments]
        return subprocess.run(program, capture_output=True, text=True, env=environment, cwd=tmp_path)

    done = command("train", *tiny, *own, "trainer.max_epochs=1", "trainer.accelerator=cpu")
    assert done.returncode == 0, done.stderr
    scenes = [one for one in tiny if one.startswith("data")]
    refused = command("evaluate", "model=mine", *scenes, "data.split=test")
    assert refused.returncode == 2 and "allow" in refused.stderr
    allowed = command("evaluate", "model=mine", *scenes, "data.split=test", "allow=[beside]", "metrics=[bleu]")
    assert allowed.returncode == 0, allowed.stderr
