"""SingleView: one encoder, the camera's viewpoint, and one decoder for every representation asked for."""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.models.atlas import AtlasDecoder, AtlasHead
from maquette.models.choices import AnyEncoder, AnyMesh, AnyOccupancy, AnyPoints, AnyVoxels
from maquette.models.deconvolution import DeconvolutionDecoder, DeconvolutionVoxels, Pix2VoxVoxels
from maquette.models.encoders import (
    EncoderConfig,
    PrecomputedCodes,
    SmallEncoder,
    build_encoder,
    feature_length,
    map_channels,
)
from maquette.models.features import Features
from maquette.models.folding_points import FoldingDecoder, FoldingPoints
from maquette.models.graph_mesh import GraphMeshDecoder, GraphMeshHead
from maquette.models.looks import WAYS, Look, seen, united
from maquette.models.mesh import MeshDecoder, MeshHead, MlpMesh
from maquette.models.occupancy import OccupancyDecoder, OccupancyHead, TriplaneOccupancy
from maquette.models.points import MlpPoints, PointsDecoder, PointsHead
from maquette.models.ranges import check_ranges
from maquette.models.residual_voxels import ResidualVoxels, ResidualVoxelsDecoder
from maquette.models.viewpoint import Viewpoint, ViewpointDecoder
from maquette.models.voxels import VoxelsDecoder, VoxelsHead
from maquette.shapes import PointCloud, Shape, transform

Cameras = Literal["shared", "apart"]
"""How a network learns from where a picture was taken. shared: the encoder learns it, too. apart: it is read from the
features without changing them, as befits the networks of the course's reports, which do not know cameras."""


@dataclass(frozen=True)
class VoxelsConfig:
    """Picture to a grid of occupancies."""

    encoder: AnyEncoder = SmallEncoder()
    head: AnyVoxels = VoxelsHead()
    cameras: Cameras = "shared"
    """'apart': the encoder does not learn from where pictures were taken."""


@dataclass(frozen=True)
class PointsConfig:
    """Picture to a point cloud."""

    encoder: AnyEncoder = SmallEncoder()
    head: AnyPoints = PointsHead()
    cameras: Cameras = "shared"
    """'apart': the encoder does not learn from where pictures were taken."""


@dataclass(frozen=True)
class MeshConfig:
    """Picture to a deformed ico-sphere."""

    encoder: AnyEncoder = SmallEncoder()
    head: AnyMesh = MeshHead()
    cameras: Cameras = "shared"
    """'apart': the encoder does not learn from where pictures were taken."""


@dataclass(frozen=True)
class AtlasConfig:
    """Picture to parametric patches (AtlasNet): any number of points, or a mesh a patch."""

    encoder: AnyEncoder = SmallEncoder()
    head: AtlasHead = AtlasHead()
    cameras: Cameras = "shared"
    """'apart': the encoder does not learn from where pictures were taken."""


@dataclass(frozen=True)
class OccupancyConfig:
    """Picture to a field of occupancy, and from it to a closed mesh."""

    encoder: AnyEncoder = SmallEncoder()
    head: AnyOccupancy = TriplaneOccupancy()
    cameras: Cameras = "shared"
    """'apart': the encoder does not learn from where pictures were taken."""


@dataclass(frozen=True)
class MultiHeadConfig:
    """Picture to voxels, points, a mesh and by choice a field, by heads on one encoder: the bundled network."""

    encoder: AnyEncoder = SmallEncoder()
    voxels: VoxelsHead = VoxelsHead(full_weight=1.3)
    points: PointsHead = PointsHead()
    mesh: MeshHead = MeshHead()
    voxels_share: float = 0.5
    """Share of every batch that the voxels learn from: their convolutions cost the most. 0: they do not learn."""
    mesh_share: float = 0.5
    """Share of every batch that the mesh learns from."""
    occupancy: AnyOccupancy | None = None
    """A field beside the three, from which closed meshes come."""
    occupancy_share: float = 0.5
    """Share of every batch that the field learns from."""

    def __post_init__(self) -> None:
        check_ranges(self, {"voxels_share": (0, 1), "mesh_share": (0, 1), "occupancy_share": (0, 1)})


ModelConfig = VoxelsConfig | PointsConfig | MeshConfig | AtlasConfig | OccupancyConfig | MultiHeadConfig
Head = (
    VoxelsHead
    | DeconvolutionVoxels
    | Pix2VoxVoxels
    | ResidualVoxels
    | PointsHead
    | MlpPoints
    | FoldingPoints
    | MeshHead
    | MlpMesh
    | GraphMeshHead
    | AtlasHead
    | OccupancyHead
)

WEIGHTS = {
    "voxels": 1.0,
    "voxels_coarse": 0.5,
    "occupancy": 1.0,
    "points": 30.0,
    "points_plain": 3.0,
    "points_coarse": 10.0,
    "mesh": 30.0,
    "smooth": 30.0,
    "atlas": 30.0,
    "viewpoint": 0.05,
}
"""Of the terms in the total loss. Chamfer distances are of the order 1e-3, cross-entropies of 1e-1. Coarse stages steer
what follows them and are no result themselves, so they weigh less than it: a half of the voxels', which are of the same
kind; a third of the points', whose few anchors can never be as near to the truth as the cloud."""


def heads(config: ModelConfig) -> tuple[Head, ...]:
    match config:
        case MultiHeadConfig(voxels=voxels, points=points, mesh=mesh, occupancy=occupancy):
            return (voxels, points, mesh) if occupancy is None else (voxels, points, mesh, occupancy)
        case _:
            return (config.head,)


def shares(config: ModelConfig) -> dict[str, float]:
    """The part of every batch that a representation is trained on, where it is not the whole."""
    if not isinstance(config, MultiHeadConfig):
        return {}
    return {"voxels": config.voxels_share, "mesh": config.mesh_share, "occupancy": config.occupancy_share}


Decoder = (
    VoxelsDecoder
    | DeconvolutionDecoder
    | ResidualVoxelsDecoder
    | PointsDecoder
    | FoldingDecoder
    | MeshDecoder
    | GraphMeshDecoder
    | AtlasDecoder
    | OccupancyDecoder
)


def build_decoder(head: Head, encoder: EncoderConfig) -> tuple[str, Decoder]:
    """(name of the representation, its decoder)."""
    features = feature_length(encoder)
    match head:
        case VoxelsHead():
            return "voxels", VoxelsDecoder(head, features)
        case DeconvolutionVoxels() | Pix2VoxVoxels():
            return "voxels", DeconvolutionDecoder(head, features)
        case ResidualVoxels():
            return "voxels", ResidualVoxelsDecoder(head, features)
        case PointsHead() | MlpPoints():
            return "points", PointsDecoder(head, features)
        case FoldingPoints():
            return "points", FoldingDecoder(head, features)
        case MeshHead() | MlpMesh():
            return "mesh", MeshDecoder(head, features)
        case GraphMeshHead():
            return "mesh", GraphMeshDecoder(head, features, map_channels(encoder))
        case AtlasHead():
            return "atlas", AtlasDecoder(head, features)
        case _:
            return "occupancy", OccupancyDecoder(head, features)


_MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
"""Left and right exchanged: x changes its sign."""


class SingleView(nn.Module):
    """Pictures (B, 4, S, S), straight RGBA cropped by `maquette.data.crop`, to shapes in the frame of learning."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        features = feature_length(config.encoder)
        self.encoder = build_encoder(config.encoder)
        self.viewpoint_decoder = ViewpointDecoder(features)
        self.decoders = nn.ModuleDict(dict(build_decoder(head, config.encoder) for head in heads(config)))

    def freeze_encoder(self) -> None:
        """From now on the encoder learns nothing, and its normalisation keeps its statistics in training, too."""
        self.encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "SingleView":
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.encoder.parameters()):
            self.encoder.eval()
        return self

    @property
    def picture_size(self) -> int:
        return self.config.encoder.picture_size

    @property
    def reads_codes(self) -> bool:
        """Whether it takes codes that the data holds in the place of pictures."""
        return isinstance(self.config.encoder, PrecomputedCodes)

    @property
    def representations(self) -> tuple[str, ...]:
        return tuple(self.decoders)

    def encode(self, images: Float[Tensor, "B *rest"]) -> Features:
        """Features of pictures (B, 4, S, S); of codes (B, D) where the encoder is `PrecomputedCodes`."""
        return self.encoder(images)

    def look(self, images: Float[Tensor, "B *rest"]) -> tuple[Look, ...]:
        """Pictures seen in several `WAYS`, first as they are; codes can be seen in one way only."""
        if self.reads_codes:
            return (Look(self.encode(images)),)
        return tuple(Look(self.encode(seen(images, *way)), mirrored=way[0]) for way in WAYS)

    def viewpoint(self, features: Features) -> Viewpoint:
        return self.viewpoint_decoder(features)

    def shapes(self, features: Features, representation: str, *, points: int | None = None) -> list[Shape]:
        """One shape a picture; 'voxels' are probabilities in the cube [-0.5, 0.5]^3.

        `points` asks for another number of points than in training, of the decoders that can give any.
        """
        if representation not in self.decoders:
            raise ValueError(f"shapes: this network predicts {', '.join(self.decoders)}, not {representation!r}")
        decoder = cast(Decoder, self.decoders[representation])
        if isinstance(decoder, FoldingDecoder | AtlasDecoder):
            if points is not None and points < 1:
                raise ValueError(f"shapes: {points} points; give at least 1")
            return list(decoder.shapes(features, points))
        if points is not None:
            kind = type(decoder.config).__name__
            raise ValueError(f"shapes: {kind} cannot give {points} points; it is tied to its own")
        if isinstance(decoder, GraphMeshDecoder):
            return list(decoder.shapes(features, self.viewpoint(features)))
        return list(decoder.shapes(features))

    def shapes_of_looks(self, looks: tuple[Look, ...], representation: str) -> list[Shape]:
        """As `shapes`, of pictures that `look` has seen in several ways.

        The clouds of all looks are `united`, mirrored ones turned back. Grids and meshes are those of the first look:
        their averages are no better.
        """
        shapes = self.shapes(looks[0].features, representation)
        if not all(isinstance(shape, PointCloud) for shape in shapes):
            return shapes
        answers = [shapes]
        for look in looks[1:]:
            more = self.shapes(look.features, representation)
            answers.append([transform(shape, _MIRROR) for shape in more] if look.mirrored else more)
        return [united([cast(PointCloud, cloud) for cloud in clouds]) for clouds in zip(*answers, strict=True)]

    def losses(self, images: Float[Tensor, "B *rest"], targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """Named terms before their `WEIGHTS`; each is a mean over the batch, or over its `shares` in training."""
        # Under automatic mixed precision that of the encoder ends here: distances of 1e-3 need all their digits.
        features = self.encode(images).float()
        with torch.autocast(images.device.type, enabled=False):
            return self._losses(features, targets)

    def _losses(self, features: Features, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        apart = not isinstance(self.config, MultiHeadConfig) and self.config.cameras == "apart"
        terms = self.viewpoint_decoder.loss(Features(features.code.detach()) if apart else features, targets)
        parts = shares(self.config) if self.training else {}
        for name, decoder in self.decoders.items():
            share = parts.get(name, 1.0)
            if share == 0:
                continue
            count = max(1, round(len(features) * share))
            part, truth = features[:count], targets.first(count)
            match cast(Decoder, decoder):
                case GraphMeshDecoder() as seeing:
                    terms |= seeing.loss(part, truth, self.viewpoint(part))
                case blind:
                    terms |= blind.loss(part, truth)
        return terms


def total_loss(terms: dict[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
    return torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum()


def build(config: ModelConfig) -> SingleView:
    return SingleView(config)
