"""The named protocols. A number of one cannot be laid beside a number of another: docs/protocols.md says why.

`source` tells how well we know each: from its authors' own evaluation code, or from memory of the paper, "as we
understand it".
"""

from maquette.metrics.frames import AsStored, EachInItsOwnBox, LongestSide, UnitBall
from maquette.metrics.protocol import Chamfer, Protocol, VolumeIou, YawThenIcp

COURSE = (0.01, 0.02, 0.03, 0.04, 0.05)
"""Thresholds of CMU 16-825's assignment, which ours are, too."""

MAQUETTE = Protocol(
    name="maquette",
    source="ours",
    frame=AsStored(),
    points=10_000,
    thresholds=COURSE,
    headline="F@0.05",
    chamfers=(Chamfer(squared=True, factor=1000.0), Chamfer(squared=False)),
    normals=True,
    voxel_iou=True,
    volume_iou=VolumeIou(places=10_000, padding=0.1),
)
"""Both solids in the frame of learning: the truth's bounding box centred, its diagonal 1. No alignment.

Points are drawn by area (voxels: marching cubes at 0.5, closed at the box; a predicted cloud: its own points, repeated
or thinned to that number; a truth that holds fewer gives all it has). A prediction without a surface, or that is not
finite, scores F = 0 and IoU = 0 and is left out of the other means. `iou` is that of voxels and closed meshes with
the truth's cells, `volume_iou` theirs with the true solid itself, at the places where the data knows it.
"""

CMU2022 = Protocol(
    name="cmu2022",
    source="CMU 16-825, assignment 2, February 2022 to February 2024: its evaluation code",
    frame=AsStored(),
    points=5000,
    clouds="as they are",
    grids="course 2022",
    thresholds=COURSE,
    epsilon=1e-8,
    headline="F@0.05",
    notes=("voxels: the plain grid, open at the box, half a cell off its place",),
)
"""The course's evaluation of its first two years, of report 001 (5,000 points on each surface).

Voxels: marching cubes at 0.5 on the plain grid, index / 32 - 0.5, after an exchange of the course's z and x that
puts our right axes where they are. A cell's middle is taken for its corner, so the surface lies half a cell low.
"""

CMU2025 = Protocol(
    name="cmu2025",
    source="CMU 16-825, assignment 2, since February 2024: its evaluation code",
    frame=AsStored(),
    points=1000,
    clouds="as they are",
    grids="course 2025",
    thresholds=COURSE,
    epsilon=1e-8,
    headline="F@0.05",
    notes=("cmu2025 mirrors voxels that have their axes right, as the course's code does: see docs/protocols.md",),
)
"""The course's evaluation since February 2024. A predicted cloud is taken as it is, with as many true points.

Voxels: marching cubes at 0.5 on the plain grid (open where the solid meets the box), vertices in array order Z Y X over
the number of cells minus 0.5, turned by pi about y; both clouds centred on their own means. Our grids have their axes
right, so this mirrors them, (x, y, z) to (-z, y, -x): such voxel scores can be laid beside the course's, not beside
those of points and meshes. Failures score 0, where the course's code stops.
"""

OCCNET = Protocol(
    name="occnet",
    source="Mescheder et al. 2019: their evaluation code",
    frame=LongestSide(1.0),
    points=100_000,
    chamfers=(Chamfer(squared=False, factor=10.0),),
    normals=True,
    volume_iou=VolumeIou(places=100_000, padding=0.1),
    headline="chamfer_plain_x10",
    notes=("chamfer in tenths of the longest side of the truth's box",),
)
"""Occupancy networks: the unit cube, 100,000 points; half of accuracy plus completeness, in tenths of the longest side.

The IoU is asked at 100,000 uniform places of the cube padded by a tenth, of closed solids only.
"""

ATLASNET = Protocol(
    name="atlasnet",
    source="Groueix et al. 2018: their evaluation code; the ball's middle as we understand it",
    frame=UnitBall("box"),
    points=2500,
    chamfers=(Chamfer(squared=True, factor=1000.0),),
    thresholds=(0.001,),
    squared_thresholds=True,
    headline="chamfer_squared_x1000",
)
"""AtlasNet: the unit ball, 2,500 points each; F at a squared distance below 0.001 (a distance below 0.0316)."""

P2M = Protocol(
    name="p2m",
    source="Wang et al. 2018, as we understand it (from memory)",
    frame=AsStored(0.57),
    points=2466,
    true_points=10_000,
    drawn="all vertices",
    chamfers=(Chamfer(squared=True),),
    thresholds=(1e-4, 2e-4),
    squared_thresholds=True,
    headline="F@0.0001",
    notes=(
        "Pixel2Mesh predicts in the camera's frame: distances are the same there, but its networks must find the pose",
        "vertices are compared as they are: 2,466 in Pixel2Mesh, here as many as the prediction has",
    ),
)
"""Pixel2Mesh: 0.57 of ShapeNet's units, the prediction's vertices against 10,000 samples; F at squared distances."""

MESHRCNN = Protocol(
    name="meshrcnn",
    source="Gkioxari et al. 2019: their evaluation code",
    frame=LongestSide(10.0),
    points=10_000,
    chamfers=(Chamfer(squared=True),),
    thresholds=(0.1, 0.3, 0.5),
    normals=True,
    headline="F@0.3",
)
"""Mesh R-CNN on ShapeNet: the truth's longest side 10, so that its F@0.1 is a hundredth of that side."""

WHAT3D = Protocol(
    name="what3d",
    source="Tatarchenko et al. 2019: their evaluation code",
    frame=AsStored(),
    points=10_000,
    thresholds=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2),
    headline="F@0.01",
    viewer_centred=True,
    notes=("thresholds are parts of the side of the cube, which is 1",),
)
"""What do single-view networks learn: the viewer's frame, F at shares of the cube's side; 1 % is the headline."""

DEEPSDF = Protocol(
    name="deepsdf",
    source="Park et al. 2019 and Zheng et al. 2021 (DIT): their evaluation code",
    frame=AsStored(),
    points=30_000,
    chamfers=(Chamfer(squared=True, factor=1000.0),),
    headline="chamfer_squared_x1000",
    penalty=True,
    notes=(
        "sampling noise alone is about 0.02; read the median beside the mean, a few failures decide the latter",
        "the truth's outer surface stands for DeepSDF's visible one",
    ),
)
"""DeepSDF: ShapeNet v2's own coordinates (diagonal 1), 30,000 points each, squared, both means added, tables x 1000.

Upstream skips objects that failed. Here they are counted, and `chamfer_squared_x1000_all` gives the mean with each
failure scored as a single point in the middle of the truth's box.
"""

DISN = Protocol(
    name="disn",
    source="Xu et al. 2019: their evaluation code",
    frame=UnitBall("mean"),
    points=2048,
    drawn="from vertices",
    chamfers=(Chamfer(squared=True, factor=1000.0),),
    thresholds=(0.025,),
    volume_iou=VolumeIou(places=100_000, padding=0.1),
    headline="chamfer_squared_x1000",
    notes=(
        "DISN draws the truth from the vertices of a fine isosurface; here they are drawn by area",
        "the IoU is asked at places strewn over the cube instead of 110^3 cells of it",
    ),
)
"""DISN: the unit sphere about the mean, 2,048 vertices of each, which no area weighs; F at 2.5 % of the radius."""

TRIPOSR = Protocol(
    name="triposr",
    source="Tochilkin et al. 2024: the paper; both normalised to a box of side 2, as we understand it",
    frame=EachInItsOwnBox(2.0),
    points=10_000,
    alignment=YawThenIcp(),
    chamfers=(Chamfer(squared=False),),
    thresholds=(0.1, 0.2, 0.5),
    headline="F@0.1",
    notes=("the paper's lists of objects were never published: these are ours",),
)
"""TripoSR: pose and size are forgiven. The prediction is turned by brute force about the vertical, then by ICP."""

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        MAQUETTE, CMU2022, CMU2025, OCCNET, ATLASNET, P2M, MESHRCNN, WHAT3D, DEEPSDF, DISN, TRIPOSR
    )
}  # fmt: skip
