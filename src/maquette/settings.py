"""Frozen configs as JSON and back: what a folder remembers of how it was made."""

import dataclasses
import math
import types
import typing
from pathlib import Path


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
