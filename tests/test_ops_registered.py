"""Every operator passes torch's own checks: of its schema, and of what it says of shapes before it runs."""

import pytest
import torch

from maquette.ops.splits import equal_splits


def random(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def faces_of(vertices: int) -> torch.Tensor:
    return torch.randint(0, vertices, (5, 3), generator=torch.Generator().manual_seed(0))


UNION = random(0, 20, 3), random(1, 24, 3), equal_splits(2, 10), equal_splits(2, 12)
OUTLINES = 9 * random(0, 2, 9, 2, dtype=torch.float64), faces_of(9)

CASES = {
    "ball": (*UNION, 1.0, 2),
    "farthest": (random(0, 20, 3), equal_splits(2, 10), torch.tensor([3, 4]), torch.tensor([0, 2])),
    "nearest": (*UNION, 2),
    "nearest_both": UNION,
    "nearest_face": (random(0, 2, 10, 3), random(1, 2, 9, 3), faces_of(9)),
    "nearest_to_face": (random(1, 2, 9, 3), faces_of(9), random(0, 2, 10, 3)),
    "raster": (random(0, 2, 9, 3) + 1, faces_of(9), 6, 7),
    "raster_discs": (random(0, 2, 9, 3) + 1, random(1, 2, 9), 6, 7),
    "raster_discs_layers": (random(0, 2, 9, 3) + 1, random(1, 2, 9), 6, 7, 3),
    "raster_layers": (random(0, 2, 9, 3) + 1, faces_of(9), 6, 7, 2),
    "ray_hits": (random(0, 2, 10, 6, dtype=torch.float64), random(1, 2, 9, 3, dtype=torch.float64), faces_of(9)),
    "soft_silhouette": (*OUTLINES, 6, 7, 0, 1.0, 4.0),
    "soft_silhouette_backward": (*OUTLINES, torch.ones(2, 6, 7, dtype=torch.float64), 0, 1.0, 4.0),
    "touched_cells": (4 * random(0, 5, 3, 3, dtype=torch.float64), 4, 5, 6),
}


@pytest.mark.parametrize("name", CASES)
def test_an_op_passes_torchs_own_checks_of_a_custom_op(name):
    torch.library.opcheck(getattr(torch.ops.maquette, name).default, CASES[name])


def test_every_op_is_checked():
    names = torch._C._dispatch_get_all_op_names()
    registered = {name.removeprefix("maquette::") for name in names if name.startswith("maquette::")}
    assert registered == set(CASES), "every op has a row in CASES"
