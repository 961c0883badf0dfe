"""Voxels as a NumPy archive: `occupancy` (Z Y X, float32) and `world_from_grid` (4 x 4). Read without pickle."""

import io
import math
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from maquette.io.atomic import write_bytes
from maquette.io.references import read_file
from maquette.shapes.voxels import Voxels

MOST_CELLS = 512**3
"""Half a gigabyte. An archive may unpack to a thousand times its size; a larger grid is refused from its header."""


def read_voxels(path: Path) -> Voxels:
    """A grid that `save` wrote, or anybody's .npz with the same two arrays."""
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(read_file(path))) as archive:
            for name, most in (("occupancy", MOST_CELLS), ("world_from_grid", 16)):
                if f"{name}.npy" not in archive.namelist():
                    raise OSError(f"{path}: holds no {name}; voxels are saved as occupancy and world_from_grid")
                with archive.open(f"{name}.npy") as file:
                    version = np.lib.format.read_magic(file)
                    read_header = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = read_header(file)
                    if dtype.kind not in "fbiu" or dtype.itemsize > 8:
                        raise OSError(f"{path}: {name} holds {dtype}, not numbers")
                    count = math.prod(shape)
                    if len(shape) > 8 or count > most:
                        raise OSError(f"{path}: {name} has shape {shape}; at most {most} values are read")
                    size = archive.getinfo(f"{name}.npy").file_size
                    if count * dtype.itemsize > size:
                        raise OSError(f"{path}: truncated: {name} has shape {shape} of {dtype}, but {size} bytes")
                with archive.open(f"{name}.npy") as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False).astype(np.float32)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        TypeError,
        tokenize.TokenError,
    ) as error:
        raise OSError(f"{path}: not a NumPy archive or broken: {' '.join(str(error).split())[:120]}") from error
    occupancy, matrix = arrays["occupancy"], arrays["world_from_grid"]
    if occupancy.ndim != 3 or 0 in occupancy.shape or matrix.shape != (4, 4):
        raise OSError(
            f"{path}: occupancy {occupancy.shape} and world_from_grid {matrix.shape} are not (Z, Y, X) and (4, 4)"
        )
    if not np.isfinite(occupancy).all() or not np.isfinite(matrix).all():
        raise OSError(f"{path}: holds values that are NaN or infinite")
    return Voxels(torch.from_numpy(occupancy), torch.from_numpy(matrix))


def write_voxels(voxels: Voxels, path: Path) -> None:
    """A compressed archive with both arrays in float32."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        occupancy=voxels.occupancy.detach().cpu().float().numpy(),
        world_from_grid=voxels.world_from_grid.detach().cpu().float().numpy(),
    )
    write_bytes(path, file.getvalue())
