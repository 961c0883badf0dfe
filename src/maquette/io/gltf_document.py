"""The parts of a glTF 2.0 file: its JSON, checked where it is read, and the numbers in its buffers.

Nothing in the file is believed: counts and offsets are checked against the bytes that are there before anything is
allocated.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maquette.io.references import read_reference

_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
COMPRESSED = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_meshopt_compression": "meshopt",
}

LARGEST_STRIDE = 252
"""Bytes from one value of a buffer view to the next, by the standard."""

MOST_WITHOUT_DATA = 1_000_000
"""Values of an accessor that no bytes stand behind: zeros, by the standard."""


@dataclass(eq=False)
class Document:
    """The JSON, the binary chunk, and what was decoded so far; the reader's notebook, never handed out."""

    path: Path
    json: dict[str, Any]
    chunk: bytes | None
    buffers: dict[int, bytes] = field(default_factory=dict)
    pictures: dict[int, tuple[np.ndarray, bool] | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def wrong(self, text: str) -> OSError:
        return OSError(f"{self.path}: {text}")

    def list_of(self, owner: dict[str, Any], key: str, where: str = "") -> list[Any]:
        value = owner.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(f"{where}{key} is not a list")
        return value

    def item(self, key: str, index: Any) -> dict[str, Any]:
        items = self.list_of(self.json, key)
        if type(index) is not int or not 0 <= index < len(items):  # True is no index
            raise self.wrong(f"refers to {key}[{index}], the file has {len(items)}")
        if not isinstance(items[index], dict):
            raise self.wrong(f"{key}[{index}] is not an object")
        return items[index]

    def count(self, owner: dict[str, Any], key: str, where: str, default: int | None = None) -> int:
        value = owner.get(key, default)
        if type(value) is not int or value < 0:
            raise self.wrong(f"{where}: {key} is {value!r}, not a count")
        return value

    def child(self, owner: dict[str, Any], key: str, where: str) -> dict[str, Any]:
        value = owner.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(f"{where}: {key} is not an object")
        return value

    def numbers(self, owner: dict[str, Any], key: str, default: list[float], where: str) -> np.ndarray:
        value = owner.get(key, default)
        if (
            not isinstance(value, list)
            or len(value) != len(default)
            or not all(isinstance(x, int | float) and not abs(x) > 1e30 for x in value)
        ):
            raise self.wrong(f"{where}: {key} is not a list of {len(default)} numbers")
        return np.array(value, np.float64)


def parse(path: Path, data: bytes) -> Document:
    chunk = None
    text = data
    if data[:4] == b"glTF":
        if len(data) < 20:
            raise OSError(f"{path}: truncated: {len(data)} bytes are less than a GLB header")
        version, length, size, kind = struct.unpack("<IIII", data[4:20])
        if version != 2:
            raise OSError(f"{path}: is glTF {version}; only glTF 2 is read")
        if length > len(data):
            raise OSError(f"{path}: truncated: header says {length} bytes, file has {len(data)}")
        if kind != 0x4E4F534A or 20 + size > len(data):
            raise OSError(f"{path}: broken GLB: the first chunk is not JSON of {size} bytes")
        text = data[20 : 20 + size]
        rest = 20 + size
        if rest + 8 <= length:
            size, kind = struct.unpack("<II", data[rest : rest + 8])
            if kind == 0x004E4942:
                if rest + 8 + size > len(data):
                    raise OSError(f"{path}: truncated: binary chunk of {size} bytes, {len(data) - rest - 8} are there")
                chunk = data[rest + 8 : rest + 8 + size]
    elif path.suffix.lower() == ".glb":
        raise OSError(f"{path}: not a GLB file (it does not start with 'glTF')")
    try:
        value = json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise OSError(f"{path}: not a glTF file (no UTF-8 text)") from error
    except json.JSONDecodeError as error:
        raise OSError(f"{path}: not a glTF file or truncated: {error.msg} at line {error.lineno}") from error
    except (RecursionError, ValueError) as error:  # nested a thousand deep, or a number of 5,000 digits
        raise OSError(f"{path}: broken glTF: {type(error).__name__} in its JSON") from error
    if not isinstance(value, dict) or not isinstance(value.get("asset"), dict):
        raise OSError(f"{path}: not a glTF 2 file (it has no asset)")
    version = value["asset"].get("version", "2.0")
    if not str(version).startswith("2"):
        raise OSError(f"{path}: is glTF {version!s:.10}; only glTF 2 is read")
    return Document(path, value, chunk)


def _buffer(document: Document, index: Any) -> bytes:
    buffer = document.item("buffers", index)
    if index not in document.buffers:
        uri = buffer.get("uri")
        length = document.count(buffer, "byteLength", f"buffer {index}")
        if uri is None and index == 0 and document.chunk is not None:
            data = document.chunk
        elif isinstance(uri, str):
            data = read_reference(document.path, uri)
        else:
            raise document.wrong(f"buffer {index} has no data")
        if length > len(data):
            raise document.wrong(f"truncated: buffer {index} of {length} bytes, {len(data)} are there")
        document.buffers[index] = data
    return document.buffers[index]


def view_bytes(document: Document, index: Any) -> tuple[memoryview, int | None]:
    """The bytes of a buffer view and its stride."""
    view, where = document.item("bufferViews", index), f"bufferView {index}"
    for key, name in COMPRESSED.items():
        if key in document.child(view, "extensions", where):
            raise document.wrong(f"compressed with {name}, which is not read; export it without compression")
    data = _buffer(document, view.get("buffer"))
    start, length = document.count(view, "byteOffset", where, 0), document.count(view, "byteLength", where)
    if start + length > len(data):
        raise document.wrong(f"{where} ends at byte {start + length}, its buffer has {len(data)}")
    stride = document.count(view, "byteStride", where, 0)
    return memoryview(data)[start : start + length], stride or None


def accessor_count(document: Document, index: Any) -> int:
    return document.count(document.item("accessors", index), "count", f"accessor {index}")


def accessor_values(document: Document, index: Any, *, integer: bool = False) -> np.ndarray:
    """An accessor as N x width floats (normalised integers scaled to 0..1 or -1..1), or as the integers it stores."""
    accessor, where = document.item("accessors", index), f"accessor {index}"
    kind, width = accessor.get("componentType"), _WIDTHS.get(str(accessor.get("type")))
    if not isinstance(kind, int) or kind not in _COMPONENTS or width is None:
        raise document.wrong(f"{where}: type {accessor.get('type')!r} of {kind!r} does not exist")
    dtype = np.dtype(_COMPONENTS[kind])
    if integer and dtype.kind == "f":
        raise document.wrong(f"{where}: holds floats where indices are expected")
    count = document.count(accessor, "count", where)
    if "bufferView" in accessor:
        values = _strided(document, accessor, where, dtype, (count, width))
    else:
        if count > MOST_WITHOUT_DATA:
            raise document.wrong(f"{where}: {count} values without data")
        values = np.zeros((count, width), dtype)
    if "sparse" in accessor:
        sparse = document.child(accessor, "sparse", where)
        n = document.count(sparse, "count", where)
        places, items = document.child(sparse, "indices", where), document.child(sparse, "values", where)
        place_kind = places.get("componentType")
        if place_kind not in (5121, 5123, 5125):
            raise document.wrong(f"{where}: sparse indices of type {place_kind!r}")
        at = _strided(document, places, where, np.dtype(_COMPONENTS[place_kind]), (n, 1))[:, 0].astype(np.int64)
        if (at >= count).any():
            raise document.wrong(f"{where}: sparse index {int(at.max())} of {count}")
        values = values.copy()
        values[at] = _strided(document, items, where, dtype, (n, width))
    if integer:
        return values
    if accessor.get("normalized") and dtype.kind != "f":
        return np.maximum(values.astype(np.float64) / np.iinfo(dtype).max, -1.0)
    return values.astype(np.float64)


def _strided(document: Document, accessor: dict, where: str, dtype: np.dtype, shape: tuple[int, int]) -> np.ndarray:
    data, stride = view_bytes(document, accessor.get("bufferView"))
    offset = document.count(accessor, "byteOffset", where, 0)
    size = dtype.itemsize * shape[1]
    stride = stride or size
    if not size <= stride <= max(size, LARGEST_STRIDE):
        raise document.wrong(f"{where}: stride {stride} is not from its {size} bytes to {LARGEST_STRIDE}")
    if shape[0] == 0:
        return np.zeros(shape, dtype)
    end = offset + stride * (shape[0] - 1) + size
    if end > len(data):
        raise document.wrong(f"{where} ends at byte {end}, its view has {len(data)}")
    return np.ndarray(shape, dtype, data, offset, (stride, dtype.itemsize))
