"""`maquette mask PICTURE...`: the foreground of each picture as a mask and as a cut-out."""

import errno
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from maquette.io import read_picture, write_picture
from maquette.io.folder import reason_of
from maquette.masks import Auto, Mask, Provider, cut_out, foreground
from maquette.reconstruct import complain, find_pictures, folder_names


@dataclass(frozen=True)
class MaskConfig:
    """Find the object of each picture: NAME_mask.png (0 and 255, one channel) and NAME_cutout.png (with alpha)."""

    pictures: tyro.conf.Positional[tuple[str, ...]]
    """Pictures, folders of pictures, or patterns such as 'photos/*.png'."""
    out: Path
    """Folder of the masks; may exist."""
    by: Provider = Auto()
    """How the object is found."""
    force: bool = False
    """Replace masks and cut-outs that exist."""

    def __post_init__(self):
        if not self.pictures:
            raise ValueError("mask: no pictures; give files, folders or patterns")


def mask_pictures(config: MaskConfig) -> None:
    """Write the masks, each picture by itself; a ValueError at the end says how many pictures gave none."""
    pictures, failures = find_pictures(config.pictures)
    names = folder_names(pictures)
    targets = [(config.out / f"{name}_mask.png", config.out / f"{name}_cutout.png") for name in names]
    if config.out.exists() and not config.out.is_dir():
        raise FileExistsError(f"{config.out}: exists and is not a folder; give another --out")
    inputs = {path.resolve() for path in pictures}
    for file in (file for pair in targets for file in pair):
        if file.resolve() in inputs:
            raise FileExistsError(f"{file}: is one of the pictures and would be overwritten; give another --out")
        if file.exists() and not config.force:
            raise FileExistsError(f"{file}: exists; give another --out, or --force to replace it")
    for failure in failures:
        complain(failure.name, failure.reason)
    count = len(failures)
    for path, (mask_file, cut_file) in zip(pictures, targets, strict=True):
        started = time.perf_counter()
        try:
            picture = read_picture(path)
            mask = foreground(picture, config.by)
            seconds = time.perf_counter() - started
            config.out.mkdir(parents=True, exist_ok=True)
            write_picture(mask.pixels[..., None].float(), mask_file)
            write_picture(cut_out(picture, mask), cut_file)
        except (OSError, ValueError, MemoryError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            complain(str(path), reason_of(error, path))
            count += 1
            continue
        print(f"{path} -> {mask_file}  ({summary(mask)}, {seconds:.1f} s)", flush=True)
    if count:
        raise ValueError(f"no mask for {count} of {len(pictures) + len(failures)} inputs; the reasons are above")


def summary(mask: Mask) -> str:
    """Source, score and what is doubtful, in words."""
    notes = [f"{mask.source}{f' ({mask.category})' if mask.category else ''}", f"score {mask.score:.2f}"]
    notes.append(f"{mask.share:.0%} of the picture")
    if mask.dropped:
        notes.append(f"left out {mask.dropped}")
    return ", ".join([*notes, *mask.remarks])
