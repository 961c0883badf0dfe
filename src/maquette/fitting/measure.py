"""How near a fitted shape came to its target, beside how near the target comes to itself."""

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.metrics import chamfer_squared, f_score, match, normal_consistency
from maquette.shapes import Mesh, PointCloud, Shape, sample, transform

SAMPLES = 100_000
"""Points drawn from each surface; a cloud counts with the points it has."""
THRESHOLD = 0.02
"""Of the F-score, as a part of the diagonal of the target's bounds."""


@torch.no_grad()
def measure(result: Shape, target: Shape, unit_from_target: Float[Tensor, "4 4"], *, seed: int = 0) -> dict:
    """Scores in the frame of fitting: chamfer squared and summed both ways, F-score at 2 % of the target's diagonal.

    `target_chamfer` is the distance between two samplings of the target of the same sizes: what no fit can beat but by
    luck. Normal consistency (mean |cos| of nearest points' normals) only where both shapes have normals.
    """
    generator = torch.Generator().manual_seed(seed)
    moved, truth = transform(result, unit_from_target), transform(target, unit_from_target)
    ours = moved if isinstance(moved, PointCloud) else sample(moved, SAMPLES, generator=generator)
    first, second = (sample(truth, count, generator=generator) for count in (SAMPLES, len(ours.points)))
    matches, itself = match(ours.points, first.points), match(second.points, first.points)
    diagonal = float((first.points.amax(0) - first.points.amin(0)).norm())
    scores = {
        "chamfer": float(chamfer_squared(matches)),
        "target_chamfer": float(chamfer_squared(itself)),
        "f_score": float(f_score(matches, [THRESHOLD * diagonal]).f[0]),
        "target_f_score": float(f_score(itself, [THRESHOLD * diagonal]).f[0]),
    }
    if isinstance(moved, Mesh) and ours.normals is not None and first.normals is not None:
        scores["normal_consistency"] = float(normal_consistency(matches, ours.normals, first.normals))
    return scores


def table(scores: dict) -> str:
    """The scores as a small table, each beside what the target scores with itself where that is known."""
    named = {
        "chamfer": "chamfer",
        "f_score": f"F@{THRESHOLD:g}",
        "normal_consistency": "normal consistency",
        "iou": "IoU",
    }
    shown = [(label, name) for name, label in named.items() if name in scores]
    rows = [("", "result", "target with itself")]
    for label, name in shown:
        itself = scores.get(f"target_{name}")
        rows.append((label, _number(name, scores[name]), "" if itself is None else _number(name, itself)))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in rows)


def _number(name: str, value: float) -> str:
    match name:
        case "chamfer":
            return f"{value:.2e}"
        case "f_score":
            return f"{value:.1f}"
        case _:
            return f"{value:.4f}"
