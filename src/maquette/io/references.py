"""Files that a model refers to (textures, material libraries, buffers): found near the model, or not at all."""

import base64
import binascii
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGEST_FILE = 4 * 2**30
"""Bytes; a larger file is refused instead of filling the memory."""


def read_file(path: Path) -> bytes:
    """The bytes of a file; OSError with the path first when it is missing, a folder, empty, or not readable."""
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder, not a file")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise OSError(f"{path}: is not a regular file")
    size = path.stat().st_size
    if size == 0:
        raise OSError(f"{path}: empty file")
    if size > LARGEST_FILE:
        raise OSError(f"{path}: {size} bytes; files above {LARGEST_FILE} bytes are not read")
    try:
        return path.read_bytes()
    except OSError as error:
        raise OSError(f"{path}: cannot be read: {error.strerror}") from error


def read_reference(model: Path, uri: str) -> bytes:
    """The bytes that `uri` in the file `model` stands for.

    `data:` URIs are decoded. A relative path is looked up from the model's folder and must stay inside the folder's
    parent, so that `../textures/wood.png` works and `../../../etc/passwd` does not. Absolute paths and URLs are
    refused: a model from elsewhere does not get to choose what is read from this machine or fetched from the network.
    """
    if uri.startswith("data:"):
        head, comma, payload = uri.partition(",")
        if not comma:
            raise OSError(f"{model}: data URI without a comma")
        if not head.endswith(";base64"):
            return unquote(payload).encode("latin-1", "replace")
        try:
            return base64.b64decode(unquote(payload), validate=True)
        except (binascii.Error, ValueError) as error:
            raise OSError(f"{model}: data URI is not base64: {error}") from error
    shown = ascii(uri if len(uri) <= 80 else uri[:77] + "...")
    if "\0" in uri:
        raise OSError(f"{model}: refers to {shown}, which is no file name")
    plain = uri.replace("\\", "/")
    try:
        scheme = urlsplit(plain).scheme
    except ValueError:
        scheme = ""
    if plain.startswith(("/", "~")) or scheme:
        raise OSError(
            f"{model}: refers to {shown}; absolute paths and URLs are not followed, put the file beside the model"
        )
    folder = Path(os.path.realpath(model)).parent
    for candidate in dict.fromkeys((plain, unquote(plain))):
        target = Path(os.path.realpath(folder / candidate))
        if not target.is_relative_to(folder.parent) and not target.is_relative_to(folder):
            raise OSError(f"{model}: refers to {shown}, outside the model's folder; put the file beside the model")
        try:
            found = target.is_file()
        except OSError:  # a name that the file system cannot even look up, say of 300 characters
            found = False
        if found:
            return read_file(target)
    raise FileNotFoundError(f"{model}: refers to {shown}, which does not exist")
