"""How busy the loader keeps the network, and how the loader stands beside decoding files for every item.

python benchmarks/training.py [--out docs/training-benchmarks.md] [--data SET] [--device cpu] [--batch 32]

Makes a small data set of its own in a temporary folder. Everything that is compared is timed in turns in one process,
by the clock and in processor time, which other programs hardly change. On two quiet cores it takes two minutes.
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image

from maquette.data.batches import training_batch
from maquette.data.pack import Pack, pack
from maquette.data.prepare.synthetic import PrepareSynthetic, prepare_synthetic
from maquette.io import load, save
from maquette.models import MeshConfig, ModelConfig, MultiHeadConfig, PointsConfig, build, total_loss
from maquette.shapes import sample, torus
from maquette.train.loader import ahead

NETWORKS: dict[str, ModelConfig] = {
    "points": PointsConfig(),
    "mesh": MeshConfig(),
    "multihead": MultiHeadConfig(),
}
STEPS, TURNS = 4, 5
REACH = 0.85
"""Share of the bare network's speed that the loader must leave it."""
AHEAD = 2
"""Batches that one thread of the loader keeps ready (`maquette.train.loader`)."""


def stepper(config: ModelConfig, device: torch.device):
    """One optimiser step on a batch, waited for."""
    model = build(config).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)

    def step(images, targets) -> None:
        loss = total_loss(model.losses(images.to(device, non_blocking=True), targets.to(device)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def busy(data: Pack, config: ModelConfig, batch: int, device: torch.device) -> tuple[float, float, float]:
    """Seconds a step with one batch from memory, and with batches from the loader; the share of the bare speed.

    The two take turns, and each turn gives a share, so that what else the machine does meets both; all three are
    medians. The batches that lie ready when a turn begins are used up before it is timed.
    """
    step = stepper(config, device)
    kept = training_batch(data, batch, 0, 0)
    step(*kept)
    bare, loaded = [], []
    with ahead(lambda at: training_batch(data, batch, 0, at), range(TURNS * (AHEAD + STEPS) + AHEAD), 1) as made:
        batches = (made_batch for _, made_batch in made)

        def from_loader() -> None:
            step(*next(batches))

        for _ in range(TURNS):
            for _ in range(AHEAD):
                from_loader()
            loaded.append(seconds(from_loader, STEPS) / STEPS)
            for _ in range(AHEAD):
                step(*kept)  # meanwhile the loader fills up, and then rests
            bare.append(seconds(lambda: step(*kept), STEPS) / STEPS)
    shares = [alone / fed for alone, fed in zip(bare, loaded, strict=True)]
    return statistics.median(bare), statistics.median(loaded), statistics.median(shares)


def seconds(call: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - began


def processor_ms(*calls: Callable[[], object]) -> list[float]:
    """The least processor time of each in five turns: what it costs whatever else the machine does."""
    best = [float("inf")] * len(calls)
    for _ in range(5):
        for i, call in enumerate(calls):
            began = time.process_time()
            call()
            best[i] = min(best[i], 1000 * (time.process_time() - began))
    return best


def processor_times(data: Pack, config: ModelConfig, batch: int) -> list[float]:
    """Of a step with a batch from memory, and of making a batch."""
    step, kept = stepper(config, torch.device("cpu")), training_batch(data, batch, 0, 0)
    step(*kept)
    places = itertools.count(1)
    return processor_ms(lambda: step(*kept), lambda: training_batch(data, batch, 0, next(places)))


def course_item(picture: Path, model: Path) -> None:
    """What the course's loader does for an item: decode a PNG of 137 x 137, parse an OBJ, sample its surface."""
    rgba = np.asarray(Image.open(picture), np.float32) / 255
    torch.from_numpy(rgba[..., :3].copy())
    sample(load(model), 2048)


def loader_alone(data: Pack, batch: int, folder: Path) -> tuple[float, float]:
    """Processor milliseconds an item: ours, and the course's way with a model of 20,000 faces."""
    picture, model = folder / "view.png", folder / "model.obj"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (137, 137, 4), np.uint8)).save(picture)
    save(torus(rows=100, columns=100), model)
    faces = len(load(model).faces)
    assert 19_000 <= faces <= 21_000, faces
    course_item(picture, model)
    places = itertools.count()
    made, theirs = processor_ms(
        lambda: training_batch(data, batch, 0, next(places)), lambda: course_item(picture, model)
    )
    return made / batch, theirs


def report(device: torch.device, batch: int, where: Path | None) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if where is None:
            where = folder / "set"
            prepare_synthetic(PrepareSynthetic(out=where, count=16, views=4, size=64, val=0.0, test=0.0))
        data = pack(where, "train", 64)
        lines = [
            f"Made by `python benchmarks/training.py` with torch {torch.__version__} on {device}, "
            f"{torch.get_num_threads()} threads, batches of {batch} pictures of 64 x 64.",
            "",
            "| network | images a second, one batch from memory | with the loader | of the bare network | at least |",
            "|---|---|---|---|---|",
        ]
        for network, config in NETWORKS.items():
            bare, loaded, share = busy(data, config, batch, device)
            lines.append(
                f"| {network} | {batch / bare:.0f} | {batch / loaded:.0f} | {100 * share:.0f} % | {100 * REACH:.0f} % |"
            )
        if device.type == "cpu":
            lines += ["", "| network | processor ms, a step | making its batch | of both |", "|---|---|---|---|"]
            for network, config in NETWORKS.items():
                step, made = processor_times(data, config, batch)
                lines.append(f"| {network} | {step:.0f} | {made:.0f} | {100 * made / (step + made):.0f} % |")
        ours, theirs = loader_alone(data, batch, folder)
        lines += [
            "",
            "| an item, loader alone | processor ms | times as fast | at least |",
            "|---|---|---|---|",
            f"| from the pack: a varied picture, points, voxels, places | {ours:.2f} | {theirs / ours:.0f} | 3 |",
            f"| the course's way: a PNG of 137 x 137, an OBJ of 20,000 faces, 2,048 samples | {theirs:.2f} | 1 | |",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data", type=Path, help="a data set with a split 'train', instead of one made for this")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    text = report(torch.device(arguments.device), arguments.batch, arguments.data)
    print(text)
    if arguments.out:
        arguments.out.write_text(f"# How busy the loader keeps a network\n\n{text}")


if __name__ == "__main__":
    main()
