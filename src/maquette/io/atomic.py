"""Files that are there whole or not at all.

Everything is written beside the target under a temporary name and moved onto it at the end, so that a full disk, Ctrl-C
or kill -9 leaves the old file or the new one, never half of one.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix, that becomes `path` when the block ends without an
    exception.

    Missing parent folders are made. When the block raises, the temporary file is removed and `path` stays as it was.
    The temporary name starts with a dot and `.tmp-`, so what a killed process leaves behind can be told from results.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target}: is a folder; give the path of a file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{target}: its folder cannot be made: {error.strerror}") from error
    # The random part comes first and the name is cut, so that long names stay below the file system's limit of 255
    # bytes.
    temporary = target.parent / f".tmp-{secrets.token_hex(6)}-{target.stem[:40]}{target.suffix}"
    try:
        yield temporary
        # The data must be on the disk before the name is: a power cut must not leave an empty file under the final
        # name.
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        # Some libraries write their files for the owner alone; others must be able to read a result, too.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, str(temporary)):
            raise OSError(f"{target}: cannot be written: {error.strerror}") from error
        raise


def _umask() -> int:
    """What this process withholds from new files; the system tells it only in exchange for another."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all; line ends stay as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: object, *, indent: int | None = 2) -> None:
    """Write `value` as JSON to `path`, whole or not at all; NaN and infinity, which JSON does not have, raise
    ValueError.
    """
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")
