"""Maquette: pictures into solids.

    import maquette as mq
    shape = mq.load("chair.glb")
    picture = mq.render(shape, camera).rgb
    mq.save(shape, "chair.ply")

Names below are imported when first used, so that `import maquette` stays quick.
"""

import importlib
from typing import TYPE_CHECKING

from maquette.version import __version__

if TYPE_CHECKING:
    from maquette.camera import Camera as Camera
    from maquette.camera import look_at as look_at
    from maquette.camera import orbit as orbit
    from maquette.io import load as load
    from maquette.io import save as save
    from maquette.rendering import render as render
    from maquette.rendering import turntable as turntable
    from maquette.shapes import Mesh as Mesh
    from maquette.shapes import PointCloud as PointCloud
    from maquette.shapes import Voxels as Voxels
    from maquette.shapes import bounds as bounds
    from maquette.shapes import sample as sample
    from maquette.shapes import to_mesh as to_mesh
    from maquette.shapes import transform as transform

_HOMES = {
    "camera": ("Camera", "look_at", "orbit"),
    "io": ("load", "save"),
    "rendering": ("render", "turntable"),
    "shapes": ("Mesh", "PointCloud", "Voxels", "bounds", "sample", "to_mesh", "transform"),
}
_HOME_OF = {name: f"maquette.{home}" for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]  # pyrefly: ignore[unresolvable-dunder-all]


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'maquette' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
