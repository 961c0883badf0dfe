"""A mesh from features, coarse to fine: graph convolutions over an ico-sphere that look at the picture.

After Pixel2Mesh (Wang et al. 2018), which starts from an ellipsoid; here the code places the coarse vertices first, as
in `maquette.models.mesh`, which is learnt in a fraction of the steps. Then at each stage every vertex reads the
picture's features where it is seen, the stage's graph convolutions move it, and the mesh is cut finer for the next.
B pictures, V vertices, C channels, H width of a stage. Features of vertices are V B H: neighbours are then rows of one
sparse product for the whole batch.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.alignment import cropped_cameras
from maquette.data.crop import MARGIN
from maquette.data.targets import Targets
from maquette.losses import chamfer, edge_loss, laplacian_delta, normal_consistency
from maquette.models.features import Features
from maquette.models.mesh import RADIUS
from maquette.models.ranges import check_ranges
from maquette.models.viewpoint import Viewpoint
from maquette.rendering.features import features_at
from maquette.shapes import (
    Mesh,
    Refinement,
    Topology,
    midpoint_refinement,
    positions_at,
    refined,
    sample_faces_from,
    topology_of,
)
from maquette.shapes.primitives import ico_sphere


@dataclass(frozen=True)
class GraphMeshHead:
    """An ico-sphere moved in stages by graph convolutions that read the picture where vertices are seen."""

    level: int = 2
    """Subdivisions of the ico-sphere in the first stage; each later one has one more."""
    widths: tuple[int, ...] = (128, 64, 32)
    """Of the features of vertices, a stage each."""
    hidden: int = 256
    """Width of the perceptron that places the coarse vertices."""
    blocks: int = 2
    """Residual blocks a stage, of two graph convolutions each."""
    channels: int = 32
    """Of the picture's features that vertices read."""
    samples: int = 2048
    """Points drawn from the last stage's surface for the chamfer loss; half as many a stage before it, and so on."""
    laplacian: float = 0.5
    """Weights against the chamfer distance, in units of the object's diagonal: change of the Laplacian in a stage,"""
    edge: float = 0.1
    """squared lengths of edges,"""
    normal: float = 1e-3
    """and bends between neighbouring faces."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            {
                "level": (0, 6),
                "hidden": (1, 65_536),
                "blocks": (1, 64),
                "channels": (1, 4096),
                "samples": (1, 1_000_000),
            },
        )
        check_ranges(self, {"laplacian": (0, 1e6), "edge": (0, 1e6), "normal": (0, 1e6)})
        if not 1 <= len(self.widths) <= 7 - self.level or not all(1 <= width <= 4096 for width in self.widths):
            raise ValueError(
                f"GraphMeshHead: widths are {self.widths}; give 1 to {7 - self.level} of them, each 1 to 4096"
            )


class GraphMeshDecoder(nn.Module):
    sphere: Tensor

    def __init__(self, config: GraphMeshHead, features: int, channels: tuple[int, ...]):
        """`channels` are those of the encoder's maps."""
        super().__init__()
        if not channels:
            raise ValueError(
                "GraphMeshHead: this encoder gives codes without maps of the picture, and vertices read maps; give "
                "another encoder, or MeshHead, which needs the code alone"
            )
        self.config = config
        self.register_buffer("sphere", ico_sphere(config.level, radius=RADIUS).vertices, persistent=False)
        first, last = nn.Linear(features, config.hidden), nn.Linear(config.hidden, self.sphere.numel())
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.zero_()
        self.coarse = nn.Sequential(first, nn.ReLU(), last)
        self.pyramid = Pyramid(channels, config.channels)
        faces = ico_sphere(config.level).faces
        self.refinements: list[Refinement] = []
        stages = []
        for before, width in pairwise((0, *config.widths)):
            if before:
                self.refinements.append(midpoint_refinement(faces, int(faces.max()) + 1))
                faces = self.refinements[-1].faces
            stages.append(Stage(topology_of(faces), 3 + config.channels + before, features, width, config.blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, features: Features, viewpoint: Viewpoint) -> list[tuple[Mesh, Mesh]]:
        """Before and after each stage. The camera looks from `viewpoint`, for which nothing is learnt here."""
        where = (viewpoint.azimuth.detach(), viewpoint.elevation.detach(), viewpoint.distance.detach())
        picture = self.pyramid(features.maps)
        vertices = self.sphere + self.coarse(features.code).reshape(len(features), -1, 3)
        hidden: Float[Tensor, "V B H"] | None = None
        steps = []
        for index, stage in enumerate(self.stages):
            assert isinstance(stage, Stage)
            if hidden is not None:
                refinement = on(self.refinements[index - 1], vertices.device)
                # Rows of the hidden features are vertices already.
                hidden = refined(hidden.movedim(0, -2), refinement).movedim(-2, 0)
                vertices = refined(vertices, refinement)
            fixed = vertices.detach()
            seen = features_at(picture, cropped_cameras(fixed, where, margin=MARGIN), fixed)
            known = [vertices.transpose(0, 1), seen.transpose(0, 1)] + ([] if hidden is None else [hidden])
            hidden, offsets = stage(torch.cat(known, -1), features.code)
            faces = stage.topology.faces.to(vertices.device)
            before, vertices = vertices, vertices + offsets.transpose(0, 1)
            steps.append((Mesh(before, faces), Mesh(vertices, faces)))
        return steps

    def loss(self, features: Features, targets: Targets, viewpoint: Viewpoint) -> dict[str, Float[Tensor, ""]]:
        """Chamfer distance of the last stage, and half that of each before it; the regularisers of all stages.

        What the stages do to the Laplacian is paid for, not where the code places the coarse vertices.
        """
        attraction, shape = [], []
        steps = self(features, viewpoint)
        for index, (before, after) in enumerate(steps):
            stage = self.stages[index]
            assert isinstance(stage, Stage)
            late = len(steps) - 1 - index
            draws = targets.uniform(max(1, self.config.samples >> late), 3, use=index)
            drawn = positions_at(after, sample_faces_from(after, draws))
            attraction.append((0.5 if late else 1.0) * chamfer(drawn, targets.points).mean())
            topology = on(stage.topology, after.vertices.device)
            shape.append(self.config.laplacian * laplacian_delta(before, after, topology).mean())
            shape.append(self.config.edge * edge_loss(after, topology).mean())
            shape.append(self.config.normal * normal_consistency(after, topology).mean())
        return {"mesh": torch.stack(attraction).sum(), "smooth": torch.stack(shape).sum()}

    def shapes(self, features: Features, viewpoint: Viewpoint) -> list[Mesh]:
        mesh = self(features, viewpoint)[-1][1]
        return [mesh.with_vertices(vertices) for vertices in mesh.vertices]


Tensors = TypeVar("Tensors", Refinement, Topology)


def on(tables: Tensors, device: torch.device) -> Tensors:
    """The tables of a topology on a device; they are no part of the weights."""
    moved = {name: value.to(device) for name, value in vars(tables).items() if isinstance(value, Tensor)}
    return replace(tables, **moved)


class Pyramid(nn.Module):
    """The maps of an encoder as one, as fine as the finest: coarse ones say what it is, fine ones where it ends.

    Each is brought to the same channels, and added to the next finer one (Lin et al. 2017, feature pyramids).
    """

    def __init__(self, channels: tuple[int, ...], outputs: int):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(count, outputs, 1) for count in channels)

    def forward(self, maps: tuple[Float[Tensor, "B _ _ _"], ...]) -> Float[Tensor, "B C h w"]:
        first, *finer = [lateral(features) for lateral, features in zip(self.lateral, maps, strict=True)][::-1]
        for features in finer:
            first = features + nn.functional.interpolate(first, features.shape[-2:], mode="bilinear")
        return first


class Stage(nn.Module):
    """Graph convolutions over one topology, from what vertices know to what they know next and how they move."""

    places: Tensor
    weights: Tensor

    def __init__(self, topology: Topology, inputs: int, features: int, width: int, blocks: int):
        super().__init__()
        self.topology = topology
        means = neighbour_means(topology)
        # In its dense parts: sparse buffers cannot be sent from process to process.
        self.register_buffer("places", means.indices(), persistent=False)
        self.register_buffer("weights", means.values(), persistent=False)
        self.enter = nn.Linear(inputs, width)
        self.code = nn.Linear(features, width, bias=False)
        self.blocks = nn.ModuleList(GraphBlock(width) for _ in range(blocks))
        self.leave = nn.Linear(width, 3)
        with torch.no_grad():
            self.leave.weight.mul_(0.1)
            self.leave.bias.zero_()

    def forward(
        self, known: Float[Tensor, "V B I"], code: Float[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "V B H"], Float[Tensor, "V B 3"]]:
        size = (self.topology.vertices, self.topology.vertices)
        means = torch.sparse_coo_tensor(self.places, self.weights, size, check_invariants=False, is_coalesced=True)
        hidden = self.enter(known) + self.code(code)
        for block in self.blocks:
            hidden = block(hidden, means)
        return hidden, self.leave(torch.relu(hidden))


class GraphBlock(nn.Module):
    """x + g(g(x)); g(x) is a linear map of ReLU(x), and another of its mean over the neighbours (Wang et al. 2018,

    eq. 1, with the mean in place of the sum).
    """

    def __init__(self, width: int):
        super().__init__()
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.around = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(2))
        with torch.no_grad():
            for last in (self.own[1], self.around[1]):
                assert isinstance(last, nn.Linear)
                last.weight.mul_(0.1)

    def forward(self, x: Float[Tensor, "V B H"], means: Float[Tensor, "V V"]) -> Float[Tensor, "V B H"]:
        y = x
        for own, around in zip(self.own, self.around, strict=True):
            y = torch.relu(y)
            y = own(y) + around(torch.sparse.mm(means, y.flatten(1)).reshape(y.shape))
        return x + y


def neighbour_means(topology: Topology) -> Float[Tensor, "V V"]:
    """The sparse matrix that takes values of vertices to the mean over their neighbours."""
    low, high = topology.edges.unbind(1)
    rows, columns = torch.cat([low, high]), torch.cat([high, low])
    weights = 1 / torch.bincount(rows, minlength=topology.vertices).float()
    size = (topology.vertices, topology.vertices)
    return torch.sparse_coo_tensor(torch.stack([rows, columns]), weights[rows], size, check_invariants=True).coalesce()
