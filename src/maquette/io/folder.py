"""Folders of results that appear whole or not at all, and whether an older one may be replaced."""

import errno
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def check_out(out: Path, inputs: Sequence[Path], record: str, *, force: bool) -> None:
    """Refuse a folder of results that is there, unless `force` may replace it: one that holds `record`, or nothing."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise FileExistsError(f"{out}: exists and is not a folder; give another --out")
    if not out.exists():
        return
    if not force:
        raise FileExistsError(f"{out}: exists; give another --out, or --force to replace it")
    if any(out.iterdir()) and not (out / record).is_file():
        raise FileExistsError(f"{out}: holds no {record}, so it is not replaced even with --force; give another --out")
    for path in inputs:
        if path.resolve().is_relative_to(out.resolve()):
            raise FileExistsError(f"{out}: holds the picture {path}, which --force would delete; give another --out")


@contextmanager
def replacing(out: Path, *, force: bool) -> Iterator[Path]:
    """A new folder beside `out` that takes its place at the end; whatever goes wrong leaves `out` as it was."""
    target = out.resolve()
    temporary = target.parent / f".tmp-{secrets.token_hex(6)}-{target.name[:40]}"
    old = temporary.with_name(f"{temporary.name}-old")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if force and target.exists():
            target.rename(old)
        elif target.exists():
            raise FileExistsError(f"{out}: has appeared meanwhile; give another --out, or --force to replace it")
        temporary.rename(target)
    except OSError as error:
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            raise OSError(f"{out}: cannot be written: the disk is full") from error
        if isinstance(error.filename, str) and not _concerns(target, temporary, Path(error.filename).resolve()):
            raise  # an input that cannot be read, say, has its own name in the error
        reason = reason_of(error, out).replace(str(temporary), str(out))
        raise OSError(reason if reason.startswith(str(out)) else f"{out}: {reason}") from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _concerns(target: Path, temporary: Path, path: Path) -> bool:
    """Whether a path lies in the new folder, or is the one it replaces or a folder that holds both."""
    return path.is_relative_to(temporary) or target.is_relative_to(path)


def reason_of(error: BaseException, path: Path) -> str:
    """Why a picture gave nothing, in one line, without the path, which stands beside it."""
    if isinstance(error, MemoryError):
        return "not enough memory for this picture; make it smaller"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    text = " ".join(str(error).split()) or type(error).__name__
    return text.removeprefix(f"{path}: ").removeprefix("foreground: ")
