"""A grid of settings: fields of a config by dotted names, and the values they take in turn."""

import dataclasses
import itertools
import json
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from maquette.settings import from_json

C = TypeVar("C")


def grid(config: C, vary: Sequence[Sequence[str]]) -> list[tuple[dict[str, object], C]]:
    """Every combination of the values, as (values by name, config); each member of `vary` is a name and its values.

    The last name changes fastest. A value is written as on the command line; a member of a union of configs is told by
    its class, as MeshConfig, and then has its defaults.
    """
    names = [words[0] for words in vary if words]
    for words in vary:
        if len(words) < 2:
            raise ValueError(f"sweep: --vary {' '.join(words)} has no values; give a setting and what it shall be")
        if names.count(words[0]) > 1:
            raise ValueError(f"sweep: {words[0]} is varied twice; give all its values to one --vary")
        for word in words[1:]:
            if words[1:].count(word) > 1:
                raise ValueError(f"sweep: {words[0]} is {word} twice; give each value once")
    points = []
    for values in itertools.product(*(words[1:] for words in vary)):
        changed, told = config, {}
        for name, word in zip(names, values, strict=True):
            changed, told[name] = with_field(changed, name, word)
        points.append((told, changed))
    return points


def with_field(config: C, name: str, word: str, *, within: str = "") -> tuple[C, object]:
    """A copy with the field of a dotted name as `word` says, and the new value; errors tell `within` before it."""
    head, _, rest = name.partition(".")
    fields = {field.name for field in dataclasses.fields(config)} if dataclasses.is_dataclass(config) else set()
    if not dataclasses.is_dataclass(config) or isinstance(config, type) or head not in fields:
        there = ", ".join(sorted(fields)) or "no settings"
        raise ValueError(f"sweep: {type(config).__name__} has no setting {head!r}; it has {there}")
    if rest:
        inner, value = with_field(getattr(config, head), rest, word, within=f"{within}{head}.")
    else:
        inner = value = value_of(typing.get_type_hints(type(config))[head], f"{within}{name}", word)
    return replace(config, **{head: inner}), value


def value_of(kind: object, name: str, word: str) -> object:
    """The value that a word means for a field of this type."""
    members = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else ()
    configs = {m.__name__: m for m in members if isinstance(m, type) and dataclasses.is_dataclass(m)}
    if configs:
        if word not in configs:
            raise ValueError(f"sweep: {name} is {word!r}, none of {', '.join(configs)}")
        return configs[word]()
    try:
        value = json.loads(word)
    except json.JSONDecodeError:
        value = None if word == "None" else word
    try:
        value = from_json(kind, value)
    except ValueError as error:
        hint = "; give another option, as --steps, between --vary and it" if ":" in word else ""
        raise ValueError(f"sweep: {name}: {error}{hint}") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"sweep: {name} is {word}; give a finite number")
    return value


def name_of(values: dict[str, object]) -> str:
    """Of a run's folder, from what is varied: lr=0.001,model.head.smooth=0.1."""
    return ",".join(f"{name}={told(value)}" for name, value in values.items()).replace("/", "_")


def told(value: object) -> str:
    """A varied value in a table."""
    if isinstance(value, float):
        return f"{value:g}"
    return type(value).__name__ if dataclasses.is_dataclass(value) else str(value)
