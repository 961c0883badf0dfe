"""Encoders and heads under the names that the command line gives them: encoder:resnet, head:folding and so on."""

from typing import Annotated

from tyro.conf import subcommand

from maquette.models.deconvolution import DeconvolutionVoxels, Pix2VoxVoxels
from maquette.models.encoders import DinoEncoder, PrecomputedCodes, ResnetEncoder, SmallEncoder
from maquette.models.folding_points import FoldingPoints
from maquette.models.graph_mesh import GraphMeshHead
from maquette.models.mesh import MeshHead, MlpMesh
from maquette.models.occupancy import AdditiveOccupancy, ConcatOccupancy, ConditionalOccupancy, TriplaneOccupancy
from maquette.models.points import MlpPoints, PointsHead
from maquette.models.residual_voxels import ResidualVoxels
from maquette.models.voxels import VoxelsHead

AnyEncoder = (
    Annotated[SmallEncoder, subcommand("encoder:small", prefix_name=False)]
    | Annotated[ResnetEncoder, subcommand("encoder:resnet", prefix_name=False)]
    | Annotated[DinoEncoder, subcommand("encoder:dino", prefix_name=False)]
    | Annotated[PrecomputedCodes, subcommand("encoder:codes", prefix_name=False)]
)
AnyVoxels = (
    Annotated[VoxelsHead, subcommand("head:small", prefix_name=False)]
    | Annotated[DeconvolutionVoxels, subcommand("head:deconvolution", prefix_name=False)]
    | Annotated[Pix2VoxVoxels, subcommand("head:pix2vox", prefix_name=False)]
    | Annotated[ResidualVoxels, subcommand("head:residual", prefix_name=False)]
)
AnyPoints = (
    Annotated[PointsHead, subcommand("head:small", prefix_name=False)]
    | Annotated[MlpPoints, subcommand("head:mlp", prefix_name=False)]
    | Annotated[FoldingPoints, subcommand("head:folding", prefix_name=False)]
)
AnyMesh = (
    Annotated[MeshHead, subcommand("head:small", prefix_name=False)]
    | Annotated[MlpMesh, subcommand("head:mlp", prefix_name=False)]
    | Annotated[GraphMeshHead, subcommand("head:graph", prefix_name=False)]
)
AnyOccupancy = (
    Annotated[ConcatOccupancy, subcommand("head:concatenated", prefix_name=False)]
    | Annotated[AdditiveOccupancy, subcommand("head:additive", prefix_name=False)]
    | Annotated[ConditionalOccupancy, subcommand("head:conditional", prefix_name=False)]
    | Annotated[TriplaneOccupancy, subcommand("head:triplane", prefix_name=False)]
)
