"""A model bundle: a folder with config.yaml, weights.safetensors, its task's plain files and README.md.

It is data, not code: no pickle anywhere, and only classes of this package, or of packages the caller allows, are
built from its configuration, without Hydra and its plug board.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from captioning.encoders.base import Encoder, architecture
from captioning.errors import UserError
from captioning.files.annotations import read_text
from captioning.files.terminal import harmless
from captioning.models.eight_bit import SCALE, in_eight_bits, restored
from captioning.models.former_names import current_keys, with_current_names
from captioning.models.lent_encoder import INSIDE, LENT, Lent, lent_encoder
from captioning.models.measures import MOST, check_measures, check_texts
from captioning.models.published.layout import is_hub_folder
from captioning.models.untrusted import FORCED, TRUSTED, bare_task, build, build_part, limited_to, rooms

FORMAT = 2
PARTS = {1: ("encoder", "decoder", "generation"), 2: ("encoder", "task")}  # of each format, 1 being captioning only
CAPTIONING = "captioning.tasks.captioning.task.Captioning"
LARGEST_CONFIG = 1 << 20  # bytes
LONGEST_NUMBER = 40  # characters


@dataclass
class Bundle:
    """The parts of a finished model."""

    encoder: Encoder
    encoder_config: dict[str, Any]  # by which it is built again: `_target_` and keywords
    task: nn.Module  # a `captioning.tasks.base.Task`, which knows its own


def save_bundle(
    folder: str | Path,
    bundle: Bundle,
    *,
    card: str,
    half: bool = False,
    eight_bit: bool = False,
    encoder_of: str | None = None,
) -> Path:
    """Writes a bundle, replacing one that is there, whole or not at all.

    `half` keeps weights as float16; `eight_bit` keeps the large ones in eight bits (see `in_eight_bits`). With
    `encoder_of` the encoder, or the one inside it, is left to the model of that name in the same folder, which has to
    have the same.

    `card` is the README.md: data, split, metrics, licence and date, for people. Raises UserError where the folder
    cannot be written, or holds something else than a model.
    """
    encoder = architecture(bundle.encoder_config)
    left_out: tuple[str, ...] = ()
    if encoder_of:
        lent = _lendable(Path(folder), bundle, encoder_of)
        encoder = {**encoder, INSIDE: {LENT: encoder_of}} if lent.inside else {LENT: encoder_of}
        left_out = (lent.prefix,)
    weights = {
        f"{part}.{name}": (as_half(tensor) if half else tensor).detach().cpu().contiguous().clone()
        for part, module in (("encoder", bundle.encoder), ("task", bundle.task))
        for name, tensor in module.state_dict().items()
        if not f"{part}.{name}".startswith(left_out)
    }
    if eight_bit:
        weights = in_eight_bits(weights)
    with replaced_folder(Path(folder)) as temporary:
        save_file(weights, temporary / "weights.safetensors")
        bundle.task.save(temporary)
        write_config(temporary / "config.yaml", encoder, bundle.task.config())
        (temporary / "README.md").write_text(card, encoding="utf-8")
        shutil.copymode(temporary / "config.yaml", temporary / "weights.safetensors")  # written for its owner only
    return Path(folder)


def write_config(path: Path, encoder: Mapping[str, Any], task: Mapping[str, Any]) -> None:
    """Writes the configuration of a bundle, as `read_config` reads it."""
    config = {"format": FORMAT, "encoder": encoder, "task": task}
    path.write_text(yaml.dump(config, Dumper=_Dumper, sort_keys=False), encoding="utf-8")


def read_card(folder: Path) -> str:
    """The README.md of a bundle; nothing where there is none that can be read."""
    try:
        return (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def target(part: Callable) -> str:
    """What a configuration calls a class or function."""
    return f"{part.__module__}.{part.__qualname__}"


def as_half(tensor: Tensor) -> Tensor:
    """Real numbers as float16, unless one of them is too large for it."""
    if not tensor.is_floating_point() or not (tensor.abs() <= torch.finfo(torch.float16).max).all():
        return tensor
    return tensor.to(torch.float16)


def place_beside(folder: Path) -> Path:
    """A new folder beside that of a model. Raises UserError where something else is, or nothing can be written."""
    is_model = (folder / "config.yaml").is_file()
    if folder.exists() and not is_model and not (folder.is_dir() and not os.listdir(folder)):
        raise UserError(f"{folder} is there and is not a model: choose another place, or remove it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}. Choose another place") from None


def require_place(folder: Path) -> None:
    """Raises UserError unless a model could be saved there, before it is made."""
    place_beside(folder.resolve()).rmdir()


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `folder` when the block ends well, and vanishes when it does not."""
    folder = folder.resolve()
    temporary = place_beside(folder)
    former = temporary.with_name(f"{temporary.name}-former")
    try:
        temporary.chmod(0o755)
        yield temporary
        if folder.exists():
            os.replace(folder, former)
        os.replace(temporary, folder)
    except BaseException:
        if former.exists():
            os.replace(former, folder)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def load_bundle(folder: str | Path, *, allow: Sequence[str] = ()) -> Bundle:
    """Reads a bundle. `allow` names further packages whose classes its configuration may use.

    Raises UserError naming the file where the folder is incomplete, damaged, newer than this version, or wants to
    run something it may not.
    """
    folder = Path(folder)
    if is_hub_folder(folder):
        raise UserError(f"{folder} is a model of the model hub: make one here of it with captioning import {folder}")
    if (folder / "low_rank.json").is_file():
        raise UserError(f"{folder} holds changes of another model: make it whole with captioning import {folder}")
    weights = folder / "weights.safetensors"
    require_files(folder, ("config.yaml", weights.name))
    config = read_config(folder / "config.yaml")
    trusted = (*TRUSTED, *allow)
    try:
        task = bare_task(config["task"], trusted)
    except UserError as error:
        raise UserError(f"{folder}/config.yaml: {error}") from None
    require_files(folder, task.files)
    for name in task.files:
        if name.endswith(".json"):
            check_texts(read_text(folder / name), f"{folder}/{name}")
    task.load(folder)
    shapes, lent = read_shapes(weights), lent_encoder(folder, config["encoder"])
    their_shapes: dict[str, list[int]] = {}
    if lent:
        require_files(lent.lender, ("config.yaml", weights.name))
        config["encoder"] = lent.completed(config["encoder"], read_config(lent.lender / "config.yaml")["encoder"])
        found = read_shapes(lent.lender / weights.name)
        their_shapes = {name: shape for name, shape in found.items() if name.startswith("encoder.")}
    try:
        with limited_to(4 * sum(math.prod(shape) for shape in [*shapes.values(), *their_shapes.values()])):
            encoder = build(config["encoder"], rooms(Encoder, trusted), kind=Encoder, **FORCED)
            task.build(encoder, partial(build_part, trusted))
    except UserError as error:
        raise UserError(f"{folder}/config.yaml: {error}") from None
    except Exception as error:  # values are anything, and so is what a constructor raises for them
        reason = _one_line(error)
        raise UserError(f"{folder}/config.yaml describes a model that cannot be built: {reason}") from error
    if lent:
        theirs, own = lent.parts(encoder)
        fill(weights, shapes, {"task": task, **own})
        fill(lent.lender / weights.name, their_shapes, {"encoder": theirs})
    else:
        fill(weights, shapes, {"encoder": encoder, "task": task})
    try:
        task.eval().check(encoder.eval())
    except Exception as error:
        reason = _one_line(error)
        raise UserError(f"{folder}/config.yaml: the task cannot read what the encoder sees: {reason}") from None
    return Bundle(encoder, config["encoder"], task)


def _lendable(folder: Path, bundle: Bundle, name: str) -> Lent:
    """What of the bundle's encoder the model `name` has in the same folder. Raises UserError where it has another."""
    lent = lent_encoder(folder, {LENT: name})
    theirs = load_bundle(lent.lender)
    digest = theirs.encoder.digest(theirs.encoder_config)
    if bundle.encoder.digest(bundle.encoder_config) == digest:
        return lent
    inside, config = getattr(bundle.encoder, INSIDE, None), bundle.encoder_config.get(INSIDE)
    if isinstance(inside, Encoder) and config and inside.digest(config) == digest:
        return Lent(lent.lender, inside=True)
    raise UserError(f"{lent.lender} has another encoder than the model that is to share it")


def whole_weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a bundle in single precision, those of a lent encoder among them."""
    weights = restored(load_file(folder / "weights.safetensors"))
    if lent := lent_encoder(folder, read_config(folder / "config.yaml")["encoder"]):
        theirs = restored(load_file(lent.lender / "weights.safetensors"))
        encoder = {name.removeprefix("encoder."): w for name, w in theirs.items() if name.startswith("encoder.")}
        weights |= {f"{lent.prefix}{name}": tensor for name, tensor in encoder.items()}
    return weights


def whole_config(folder: Path) -> dict[str, Any]:
    """The configuration of a bundle as `read_config` reads it, with that of a lent encoder in its place."""
    config = read_config(folder / "config.yaml")
    if lent := lent_encoder(folder, config["encoder"]):
        theirs = read_config(lent.lender / "config.yaml")["encoder"]
        config["encoder"] = lent.completed(config["encoder"], theirs)
    return config


def require_files(folder: Path, names: Sequence[str]) -> None:
    """Raises UserError unless all these files are in a model's folder."""
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise UserError(f"{folder} is not a whole model: {', '.join(absent)} missing. Copy it again, or train anew")


def read_config(path: Path) -> dict[str, Any]:
    """The configuration of a bundle as plain data, in today's format and names. Raises UserError naming the file."""
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise UserError(f"{path} has {path.stat().st_size:,} bytes, which no configuration of a model has")
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged, copy the folder again: {_one_line(error)}") from None
    version = config.get("format") if isinstance(config, dict) else None
    if type(version) is int and version > FORMAT:
        said = version if version < MOST else "of many digits"
        raise UserError(f"{path} has format {said}, this version reads up to {FORMAT}: pip install -U captioning")
    if type(version) is not int or version not in PARTS:
        raise UserError(f"{path} is not the configuration of a model: it does not say `format: {FORMAT}`")
    try:
        check_measures(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    absent = [part for part in PARTS[version] if not isinstance(config.get(part), dict)]
    if absent:
        raise UserError(f"{path} is not the configuration of a model: it does not describe {' or '.join(absent)}")
    config = with_current_names(config)
    if version == 1:
        task = {"_target_": CAPTIONING, "decoder": config.pop("decoder"), "generation": config.pop("generation")}
        config = config | {"task": task}
    return {"encoder": config["encoder"], "task": config["task"]}


class _Loader(yaml.SafeLoader):
    """YAML without aliases, a few lines of which stand for gigabytes, and without numbers that take long to read."""

    def compose_node(self, parent: Any, index: Any) -> yaml.Node:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name)")
        return super().compose_node(parent, index)


def _short(read: Callable[[Any, yaml.Node], Any]) -> Callable[[Any, yaml.Node], Any]:
    def number(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
        text = loader.construct_scalar(node)
        if len(text) > LONGEST_NUMBER or ":" in text:  # the latter counts in sixties
            raise yaml.YAMLError(f"a number of {len(text):,} characters, {text[:20]}...")
        return read(loader, node)

    return number


_Loader.add_constructor("tag:yaml.org,2002:int", _short(yaml.SafeLoader.construct_yaml_int))
_Loader.add_constructor("tag:yaml.org,2002:float", _short(yaml.SafeLoader.construct_yaml_float))


class _Dumper(yaml.SafeDumper):
    """YAML without aliases, whatever the configuration shares."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def read_shapes(path: Path) -> dict[str, list[int]]:
    """The shape of every tensor in a weights file, none of which is read. Raises UserError naming the file."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged, copy the folder again: {_one_line(error)}") from None


def fill(path: Path, shapes: Mapping[str, list[int]], parts: Mapping[str, nn.Module]) -> None:
    """Reads the weights of `parts` from the file that has `shapes`. Raises UserError naming the first misfit.

    A buffer that is still empty takes whatever shape the file has for it.
    """
    own = {f"{part}.{name}": tensor for part, module in parts.items() for name, tensor in module.state_dict().items()}
    names = current_keys(shapes, own)
    shapes = {name: shapes[written] for name, written in names.items() if not written.endswith(SCALE)}
    wanted = {key: list(tensor.shape) if tensor.numel() else shapes.get(key, []) for key, tensor in own.items()}
    for name in (*wanted, *shapes):
        if shapes.get(name) != wanted.get(name):
            there, here = (f"of shape {found[name]}" if name in found else "absent" for found in (shapes, wanted))
            raise UserError(f"{path} and the files beside it do not fit: {name} is {there}, and should be {here}")
    try:
        weights = restored(load_file(path))
        require_numbers(weights, path)
    except (OSError, SafetensorError, RuntimeError) as error:  # the last where a scale is not that of its weight
        raise UserError(f"{path} is damaged, copy the folder again: {_one_line(error)}") from None
    try:
        for part, module in parts.items():
            module.load_state_dict({name: weights[names[f"{part}.{name}"]] for name in module.state_dict()})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def require_numbers(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raises UserError naming the first tensor that holds something else than numbers."""
    for name, tensor in weights.items():
        # A sum is no number where one of its terms is none: one pass, and a second only where there is a suspicion.
        if tensor.is_floating_point() and not torch.isfinite(tensor.sum(dtype=torch.float32)):
            wrong = int((~torch.isfinite(tensor)).sum())
            if wrong:
                raise UserError(f"{path} is damaged, copy the folder again: {wrong:,} values of {name} are no numbers")


def _one_line(error: Exception) -> str:
    return harmless(" ".join(str(error).split())[:300]) or type(error).__name__
