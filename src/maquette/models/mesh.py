"""A mesh from features: offsets of an ico-sphere's vertices, chamfer on sampled points, Laplacian smoothing."""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.losses import chamfer, laplacian_uniform
from maquette.models.features import Features
from maquette.models.mlp import Activation, mlp
from maquette.models.ranges import check_ranges, check_widths
from maquette.shapes import Mesh, positions_at, sample_faces_from
from maquette.shapes.primitives import ico_sphere

RADIUS = 0.3
"""Of the undeformed sphere: about half the size of an object of diagonal 1."""


@dataclass(frozen=True)
class MeshHead:
    """Features to one offset a vertex."""

    level: int = 4
    """Subdivisions of the ico-sphere: 4 gives 2,562 vertices and 5,120 faces."""
    hidden: int = 384
    """Width of the hidden layer."""
    samples: int = 2048
    """Points drawn from the predicted surface for the chamfer loss."""
    smooth: float = 0.1
    """Weight of the uniform Laplacian against the chamfer distance (units of the object's diagonal)."""

    def __post_init__(self) -> None:
        check_ranges(self, {"level": (0, 6), "hidden": (1, 65_536), "samples": (1, 1_000_000), "smooth": (0, 1e6)})


@dataclass(frozen=True)
class MlpMesh:
    """Fully connected layers to one offset a vertex; unless told otherwise, those of report 000."""

    level: int = 4
    """Subdivisions of the ico-sphere: 4 gives 2,562 vertices and 5,120 faces."""
    hidden: tuple[int, ...] = (1024, 2048)
    """Widths of the hidden layers."""
    activation: Activation = "relu"
    samples: int = 1000
    """Points drawn from the predicted surface for the chamfer loss."""
    smooth: float = 0.1
    """Weight of the uniform Laplacian against the chamfer distance (units of the object's diagonal)."""

    def __post_init__(self) -> None:
        check_ranges(self, {"level": (0, 6), "samples": (1, 1_000_000), "smooth": (0, 1e6)})
        check_widths(self, self.hidden)


class MeshDecoder(nn.Module):
    sphere: Tensor
    faces: Tensor

    def __init__(self, config: MeshHead | MlpMesh, features: int):
        super().__init__()
        self.config = config
        sphere = ico_sphere(config.level, radius=RADIUS)
        # Derived from the level, so not part of the weights; one copy whatever the batch.
        self.register_buffer("sphere", sphere.vertices, persistent=False)
        self.register_buffer("faces", sphere.faces, persistent=False)
        outputs = sphere.vertices.numel()
        match config:
            case MeshHead(hidden=hidden):
                self.layers = mlp((features, hidden, outputs))
            case MlpMesh(hidden=hidden, activation=activation):
                self.layers = mlp((features, *hidden, outputs), activation)
        last = cast(nn.Linear, self.layers[-1])
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.zero_()

    def forward(self, features: Features) -> Mesh:
        offsets = self.layers(features.code).reshape(len(features), -1, 3)
        return Mesh(self.sphere + offsets, self.faces)

    def loss(self, features: Features, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        mesh = self(features)
        drawn = positions_at(mesh, sample_faces_from(mesh, targets.uniform(self.config.samples, 3)))
        return {
            "mesh": chamfer(drawn, targets.points).mean(),
            "smooth": self.config.smooth * laplacian_uniform(mesh).mean(),
        }

    def shapes(self, features: Features) -> list[Mesh]:
        mesh = self(features)
        return [mesh.with_vertices(vertices) for vertices in mesh.vertices]
