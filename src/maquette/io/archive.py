"""Arrays of a NumPy archive (.npz) from anybody: sizes are checked before memory is taken, nothing is unpickled."""

import io
import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from maquette.io.references import read_file

LONGEST_HEADER = 10_000
"""Bytes that tell an array's shape and type; NumPy reads no longer ones either, but only after it has taken them."""


def read_archive(path: Path, most: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The arrays named in `most`, each of at most so many numbers; OSError where one is missing, larger or broken.

    An archive may unpack to a thousand times its size: what is too large is refused from its header.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(read_file(path))) as archive, warnings.catch_warnings():
            # NumPy mends headers of old versions, and warns; a header that needs mending is a broken one here.
            warnings.simplefilter("error")
            for name, limit in most.items():
                if f"{name}.npy" not in archive.namelist():
                    raise OSError(f"{path}: holds no {name}; it should hold {', '.join(most)}")
                entry = archive.getinfo(f"{name}.npy")
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise OSError(f"{path}: {name} is packed by method {entry.compress_type}; NumPy stores or deflates")
                with archive.open(entry) as file:
                    head = io.BytesIO(file.read(LONGEST_HEADER))
                version = np.lib.format.read_magic(head)
                first = version == (1, 0)
                read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(head)
                if dtype.kind not in "fbiu" or dtype.itemsize > 8:
                    raise OSError(f"{path}: {name} holds {dtype}, not numbers")
                count = math.prod(shape)
                if len(shape) > 8 or count > limit:
                    raise OSError(f"{path}: {name} has shape {shape}; at most {limit:,} values are read")
                if count * dtype.itemsize > entry.file_size:
                    raise OSError(
                        f"{path}: truncated: {name} has shape {shape} of {dtype}, but {entry.file_size} bytes"
                    )
                with archive.open(entry) as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        TypeError,
        UserWarning,
        RuntimeWarning,
        tokenize.TokenError,
    ) as error:
        raise OSError(f"{path}: not a NumPy archive or broken: {' '.join(str(error).split())[:120]}") from error
    return arrays
