"""Runs on disk: config.json says what the network is, model.safetensors holds its numbers. Nothing is pickled."""

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path

import torch

from maquette.io.atomic import atomic_path, write_json
from maquette.models.encoders import Resnet18Encoder
from maquette.models.network import ModelConfig, SingleView, build

BUNDLED = Path(__file__).parent.parent / "weights" / "trio"


@dataclass(frozen=True)
class Run:
    """A trained network and where it came from."""

    model: SingleView
    """In evaluation mode."""
    folder: Path
    settings: dict
    """The whole of config.json: model, data, steps, seed."""


def save_model(model: SingleView, folder: Path, settings: dict, *, half: bool = False) -> None:
    """Write `config.json` and `model.safetensors` to `folder`; `half` stores 16-bit floats, half the size."""
    from safetensors.torch import save_file

    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        tensors[name] = tensor.half() if half and tensor.is_floating_point() else tensor
    with atomic_path(folder / "model.safetensors") as path:
        save_file(tensors, path)
    write_json(folder / "config.json", settings | {"model": to_json(model.config)})


def load_run(folder: Path | None = None) -> Run:
    """The run saved in `folder`, in evaluation mode on the CPU; None gives the network that comes with Maquette."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    where = BUNDLED if folder is None else Path(folder)
    config_path, weights_path = where / "config.json", where / "model.safetensors"
    for path in (config_path, weights_path):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; give the folder of a run made by `maquette train`")
    try:
        settings = json.loads(config_path.read_text())
        config = from_json(ModelConfig, settings["model"])
        if isinstance(config.encoder, Resnet18Encoder):
            # The run holds all its weights; the file that its encoder began from need not be on this machine.
            config = dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, weights=None))
        model = build(config)
    except (KeyError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise OSError(f"{config_path}: not a run's configuration: {_line(error)}") from error
    try:
        tensors = load_file(weights_path)
    except SafetensorError as error:
        raise OSError(f"{weights_path}: not a safetensors file: {_line(error)}") from error
    wanted = model.state_dict()
    wrong = [
        name
        for name in sorted(wanted.keys() | tensors.keys())
        if name not in wanted or name not in tensors or wanted[name].shape != tensors[name].shape
    ]
    if wrong:
        raise OSError(
            f"{weights_path}: weights of another network: {len(wrong)} tensors do not fit, first {wrong[0]!r}"
        )
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values() if tensor.is_floating_point()):
        raise OSError(f"{weights_path}: the weights hold numbers that are not finite; train again or take another file")
    model.load_state_dict({name: tensors[name].to(wanted[name].dtype) for name in wanted})
    return Run(model.eval(), where, settings)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def to_json(config) -> typing.Any:
    """A frozen dataclass as plain JSON; a member of a union is told by its class name under `type`."""
    if dataclasses.is_dataclass(config):
        values = {field.name: to_json(getattr(config, field.name)) for field in dataclasses.fields(config)}
        return {"type": type(config).__name__} | values
    if isinstance(config, Path):
        return str(config)
    if isinstance(config, tuple | list):
        return [to_json(value) for value in config]
    return config


def from_json(kind: typing.Any, value: typing.Any) -> typing.Any:
    """Inverse of `to_json` for a type annotation: unions of dataclasses, dataclasses, Path, tuples, plain values."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        members = typing.get_args(kind)
        if value is None and type(None) in members:
            return None
        if isinstance(value, dict):
            named = [member for member in members if getattr(member, "__name__", "") == value.get("type")]
            if not named:
                raise ValueError(f"type {value.get('type')!r} is none of {', '.join(m.__name__ for m in members)}")
            return from_json(named[0], value)
        return from_json(next(member for member in members if member is not type(None)), value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ValueError(f"{kind.__name__} is {value!r}, not a table of its fields")
        hints = typing.get_type_hints(kind)
        unknown = value.keys() - hints.keys() - {"type"}
        if unknown:
            raise ValueError(f"{kind.__name__} has no field {sorted(unknown)[0]!r}")
        return kind(**{name: from_json(hints[name], item) for name, item in value.items() if name != "type"})
    if origin is typing.Literal:
        members = typing.get_args(kind)
        if value not in members:
            raise ValueError(f"{value!r} is none of {', '.join(map(repr, members))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{value!r} is not a list")
        inner = typing.get_args(kind)
        if len(inner) == 2 and inner[1] is ...:
            inner = inner[:1] * len(value)
        if len(inner) != len(value):
            raise ValueError(f"{value!r} holds {len(value)} values, not {len(inner)}")
        return tuple(from_json(member, item) for member, item in zip(inner, value, strict=True))
    plain = {float: (int, float), Path: (str,)}.get(kind, (kind,))
    if type(value) not in plain:  # True is no number
        raise ValueError(f"{value!r} is not of type {getattr(kind, '__name__', kind)}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{value!r} is not finite")
    return kind(value)
