"""`maquette latent map RUN --data DATA`: the codes that an encoder makes of pictures, as a map in two dimensions."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from maquette.console import bar
from maquette.data.dataset import HasCodes, open_dataset
from maquette.data.entries import Entry, of_split
from maquette.evaluate import data_of_training, spread
from maquette.evaluate.evaluation import objects_in_words
from maquette.evaluate.scoring import Seen, look
from maquette.io.atomic import atomic_path, write_text
from maquette.latent.drawn_map import plot_map, write_map_page
from maquette.latent.embedding import NEIGHBOURS, Embedding, Method, embed, same_category
from maquette.models import load_run
from maquette.ops.devices import usable_device


@dataclass(frozen=True)
class MapConfig:
    """Lay the codes of a data set's pictures out on a map, near where they are alike.

    Each object is seen in the view in which it is evaluated.
    """

    run: tyro.conf.Positional[Path | None] = None
    """Run folder; without one, the network that comes with Maquette."""
    data: Path | None = None
    """Data set whose pictures are encoded; the one of the training unless told."""
    split: Literal["train", "val", "test", "all"] = "test"
    method: Method = "pca"
    """pca: the two directions in which codes vary most, each drawn by its own scale; map.csv has the numbers. tsne and
    umap keep neighbours together and no distances; they need the extra `maquette[latent]`."""
    limit: int = 600
    """Objects, evenly spread over the split."""
    out: Path | None = None
    """Folder of map.png, map.html, map.csv and codes.npz; RUN/latent unless told. Existing files are replaced."""
    seed: int = 0
    """Of t-SNE and UMAP."""
    device: str = "cpu"
    """A torch device for the network: cpu, cuda, cuda:1, mps."""

    def __post_init__(self) -> None:
        if self.limit < 3:
            raise ValueError(f"latent map: limit is {self.limit}; a map needs at least 3 objects")
        if self.run is None and self.out is None:
            raise ValueError("latent map: the bundled network has no folder for results; give --out")


def map_codes(config: MapConfig) -> Embedding:
    """Encode, embed, draw, write."""
    device, run = usable_device(config.device, "latent map"), load_run(config.run)
    data = data_of_training(run, config.data)
    if data is None:
        raise ValueError(f"latent map: {run.folder} does not say what it was trained on; give --data")
    dataset = open_dataset(data)
    if run.model.reads_codes and not isinstance(dataset, HasCodes):
        raise ValueError(f"latent map: {run.folder} reads codes (feats.npy), and {dataset.name} holds none")
    split = sorted(of_split(dataset.entries, config.split), key=lambda entry: entry.id)
    entries = spread([entry for entry in split if entry.views], config.limit)
    if len(entries) < 3:
        raise ValueError(
            f"latent map: {len(entries)} objects of split {config.split!r} in {dataset.name} have pictures; a map "
            "needs at least 3, choose another --split"
        )
    out = run.folder / "latent" if config.out is None else config.out
    run.model.to(device)
    with bar() as progress:
        task = progress.add_task("looking", total=len(entries), note="pictures")
        seen = look(run.model, dataset, entries, lambda done: progress.update(task, advance=done))
    codes = seen.codes.cpu().float()
    embedding = embed(codes, config.method, seed=config.seed)
    same, chance = same_category(codes, [entry.category for entry in entries])
    remark = (
        f"of the {NEIGHBOURS} nearest codes (cosine), {100 * same:.0f} % are of the same category, by chance "
        f"{100 * chance:.0f} %"
    )
    what = objects_in_words({"split": config.split, "evaluated": len(entries), "name": dataset.name})
    title = f"Codes of {what}"
    plot_map(embedding, entries, seen.images, f"{title}; {remark}", out / "map.png")
    write_map_page(embedding, entries, seen.images, title, [remark], out / "map.html")
    write_text(out / "map.csv", as_csv(embedding, entries))
    write_codes(seen, embedding, entries, out / "codes.npz")
    print(f"{title}: {remark}")
    if embedding.explained is not None:
        first, second = (100 * part for part in embedding.explained)
        print(f"the axes hold {first:.1f} % and {second:.1f} % of the variance")
    print(f"{out}: map.png  map.html  map.csv  codes.npz")
    return embedding


def as_csv(embedding: Embedding, entries: Sequence[Entry]) -> str:
    """A line a picture."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "category", "x", "y"])
    for entry, (x, y) in zip(entries, embedding.places.tolist(), strict=True):
        writer.writerow([entry.id, entry.category, f"{x:.6g}", f"{y:.6g}"])
    return text.getvalue()


def write_codes(seen: Seen, embedding: Embedding, entries: Sequence[Entry], path: Path) -> None:
    """The codes themselves with their places, for other programs."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            codes=seen.codes.cpu().numpy().astype(np.float32),
            places=embedding.places.numpy(),
            ids=np.array([entry.id for entry in entries]),
            categories=np.array([entry.category for entry in entries]),
        )
