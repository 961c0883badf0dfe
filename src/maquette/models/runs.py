"""Runs on disk: config.json says what the network is, model.safetensors holds its numbers. Nothing is pickled."""

import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from maquette.data.augment import Frame
from maquette.io.atomic import atomic_path, write_json
from maquette.models.encoders import without_weights
from maquette.models.network import ModelConfig, SingleView, build, heads
from maquette.settings import from_json, to_json

BUNDLED = Path(__file__).parent.parent / "weights" / "multihead"


@dataclass(frozen=True)
class Run:
    """A trained network and where it came from."""

    model: SingleView
    """In evaluation mode."""
    folder: Path
    settings: dict
    """The whole of config.json: model, data, steps, seed."""

    @property
    def frame(self) -> Frame:
        """Of what it predicts: the object's, or that of a viewer who looks from azimuth 0, elevation 0."""
        augment = self.settings.get("train", {}).get("augment", {})
        return "viewer" if augment.get("frame") == "viewer" else "object"


def save_model(model: SingleView, folder: Path, settings: dict, *, half: bool = False) -> None:
    """Write `config.json` and `model.safetensors` to `folder`; `half` stores 16-bit floats, half the size."""
    from safetensors.torch import save_file

    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        tensors[name] = tensor.half() if half and tensor.is_floating_point() else tensor
    with atomic_path(folder / "model.safetensors") as path:
        save_file(tensors, path, metadata={"architecture": architecture(model.config)})
    write_json(folder / "config.json", settings | {"model": to_json(model.config)})


def load_run(folder: Path | None = None) -> Run:
    """The run saved in `folder`, in evaluation mode on the CPU; None gives the network that comes with Maquette."""
    from safetensors import SafetensorError, safe_open

    where = BUNDLED if folder is None else Path(folder)
    config_path, weights_path = where / "config.json", where / "model.safetensors"
    for path in (config_path, weights_path):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; give the folder of a run made by `maquette train`")
    try:
        settings = saved_settings(config_path)
        config = from_json(ModelConfig, settings["model"])
        # The run holds all its weights; the file that its encoder began from need not be on this machine.
        model = build(replace(config, encoder=without_weights(config.encoder)))
    except (KeyError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise OSError(f"{config_path}: not a run's configuration: {_line(error)}") from error
    try:
        with safe_open(weights_path, framework="pt") as file:
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
            held = (file.metadata() or {}).get("architecture", "another network")
    except SafetensorError as error:
        raise OSError(f"{weights_path}: not a safetensors file: {_line(error)}") from error
    wanted = model.state_dict()
    differs = misfit(wanted, tensors)
    if differs:
        raise OSError(
            f"{weights_path}: weights of {held}, but {config_path.name} says {architecture(config)}: {differs}; "
            "give both files of one run"
        )
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values() if tensor.is_floating_point()):
        raise OSError(f"{weights_path}: the weights hold numbers that are not finite; train again or take another file")
    model.load_state_dict({name: tensors[name].to(wanted[name].dtype) for name in wanted})
    return Run(model.eval(), where, settings)


def saved_settings(path: Path) -> typing.Any:
    """What a run's config.json holds; the network of several heads was called TrioConfig while it had three."""
    return json.loads(path.read_text().replace('"TrioConfig"', '"MultiHeadConfig"'))


def misfit(wanted: Mapping[str, Tensor], held: Mapping[str, Tensor]) -> str | None:
    """In which parts (encoder, viewpoint_decoder, decoders.points ...) the tensors of two networks differ, in a line.

    Of each part the first tensor that does not fit is told, and how many there are; None where all fit.
    """
    parts: dict[str, list[str]] = {}
    for name in [*wanted, *(name for name in held if name not in wanted)]:
        if name not in wanted or name not in held or wanted[name].shape != held[name].shape:
            parts.setdefault(part_of(name), []).append(name)
    told = []
    for part, names in parts.items():
        here, there = ({name for name in tensors if name.startswith(f"{part}.")} for tensors in (wanted, held))
        first = names[0]
        if not there:
            told.append(f"{part} is missing in the weights")
        elif not here:
            told.append(f"{part} is only in the weights")
        elif first not in held or first not in wanted:
            whose = "missing in the weights" if first not in held else "only in the weights"
            told.append(f"{part} differs in {len(names)} of {len(here | there)} tensors: {first} is {whose}")
        else:
            sizes = (" x ".join(map(str, tensors[first].shape)) or "one number" for tensors in (held, wanted))
            told.append(
                f"{part} differs in {len(names)} of {len(here | there)} tensors: {first} is {next(sizes)} in the "
                f"weights, not {next(sizes)}"
            )
    return "; ".join(told) or None


def part_of(name: str) -> str:
    """Which part of a network the tensor `name` is of: encoder, viewpoint_decoder, decoders.points ..."""
    words = name.split(".")
    return ".".join(words[: 2 if words[0] == "decoders" else 1])


def architecture(config: ModelConfig) -> str:
    """The kinds of a network's parts in a line: 'PointsConfig of SmallEncoder, FoldingPoints'."""
    parts = (config.encoder, *heads(config))
    return f"{type(config).__name__} of {', '.join(type(part).__name__ for part in parts)}"


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
