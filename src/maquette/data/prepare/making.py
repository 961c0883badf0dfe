"""How the objects of a data set are made: what all `prepare` commands have in common."""

import math
from dataclasses import dataclass, fields
from typing import Any

from maquette.data.prepare.styles import ViewsStyle
from maquette.data.prepare.views import Ranges

R2N2_ELEVATION = (25.0, 30.0)
R2N2_RANGE = (1.75 * 0.65, 1.75)


@dataclass(frozen=True)
class Making:
    """All that decides the bytes of an object, but for where it comes from."""

    seed: int
    views: int
    size: int
    points: int
    elevation_deg: tuple[float, float]
    distance: tuple[float, float]
    resolution: int
    views_style: ViewsStyle

    def identity(self) -> dict[str, Any]:
        """For dataset.json. What was added later is told only where it is not as it was before."""
        return {
            name: [*value] if isinstance(value, tuple) else value
            for name, value in vars(self).items()
            if (name, value) not in (("resolution", 32), ("views_style", "r2n2"))
        }

    def ranges(self) -> Ranges:
        low, high = self.elevation_deg
        return Ranges((math.radians(low), math.radians(high)), self.distance)


def making_of(
    command: str,
    config: object,
    workers: int | None,
    *,
    elevation_deg: tuple[float, float] = R2N2_ELEVATION,
    distance: tuple[float, float] = R2N2_RANGE,
) -> Making:
    """The settings of a command by their names, checked; the ranges are its defaults."""
    making = Making(**{field.name: getattr(config, field.name) for field in fields(Making)})
    problem = None
    if not 1 <= making.views <= 1000:
        problem = f"views is {making.views}; choose 1 to 1000"
    elif not 8 <= making.size <= 4096:
        problem = f"size is {making.size}; choose 8 to 4096 pixels"
    elif making.points < 1:
        problem = f"points is {making.points}; keep at least one"
    elif not 8 <= making.resolution <= 128 or making.resolution % 8:
        problem = f"resolution is {making.resolution}; choose 8 to 128 in steps of 8"
    elif workers is not None and workers < 1:
        problem = f"workers is {workers}; use at least one, or leave it out for all cores"
    low, high = making.elevation_deg
    near, far = making.distance
    if not -90 <= low <= high <= 90:
        problem = f"elevation_deg is {low:g} {high:g}; give LOW HIGH within -90 to 90"
    elif not 0.6 <= near <= far:
        problem = f"distance is {near:g} {far:g}; give NEAR FAR, and stay outside (0.6 or more)"
    elif making.views_style != "r2n2" and (making.elevation_deg, making.distance) != (elevation_deg, distance):
        problem = f"views of style {making.views_style} have their own ranges; leave elevation and distance out"
    if problem:
        raise ValueError(f"prepare {command}: {problem}")
    return making
