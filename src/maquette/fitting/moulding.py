"""A mesh under an optimiser: its vertices, how they are moved, and how it becomes finer on the way.

V vertices, F faces; W vertices after a change.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from maquette.fitting.large_steps import roughened, smoothed, smoother
from maquette.fitting.optimizers import LargeSteps, Optimizer, optimizer_over, swap_parameter
from maquette.fitting.remesh import carried, length_for, remesh
from maquette.shapes import Mesh, closest_points, ico_sphere, midpoint_refinement, refined, topology_of


@dataclass(frozen=True)
class Fixed:
    """The sphere keeps its triangles."""

    level: int = 4
    """Of the ico-sphere: 20 * 4^level faces."""

    def __post_init__(self) -> None:
        _check_level("growth.level", self.level)


@dataclass(frozen=True)
class Subdivided:
    """From a coarse sphere to a fine one: every face is cut into four, at even intervals in the first part of a fit."""

    first: int = 2
    last: int = 4
    until: float = 0.4
    """Part of the steps after which the last level is there."""

    def __post_init__(self) -> None:
        _check_level("growth.first", self.first)
        _check_level("growth.last", self.last)
        if self.first > self.last:
            raise ValueError(f"growth.first is {self.first}, growth.last {self.last}; give a first that is not finer")
        _check_part(self.until)


@dataclass(frozen=True)
class Remeshed:
    """Triangles of one size at any time: remeshing at even intervals, each time with more of them."""

    level: int = 3
    """Of the ico-sphere at the start."""
    faces: int = 5120
    """About so many at the end."""
    times: int = 6
    until: float = 0.6
    """Part of the steps after which the mesh keeps its triangles."""

    def __post_init__(self) -> None:
        _check_level("growth.level", self.level)
        if not 20 <= self.faces <= 2_000_000:
            raise ValueError(f"growth.faces is {self.faces}; give 20 to 2,000,000")
        if self.times < 1:
            raise ValueError(f"growth.times is {self.times}; give at least 1")
        _check_part(self.until)


def _check_level(name: str, level: int) -> None:
    if not 0 <= level <= 8:
        raise ValueError(f"{name} is {level}; give 0 to 8")


def _check_part(until: float) -> None:
    if not 0 < until <= 1:
        raise ValueError(f"growth.until is {until}; give a part of the steps, above 0 and at most 1")


Growth = Fixed | Subdivided | Remeshed
FAR = 100.0
"""Half sides of the target; a vertex beyond has nothing to do with it any more, and does not come back."""


class Moulding:
    """Vertices, and the optimiser that moves them: directly, or through the smoother of large steps."""

    def __init__(self, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], choice: Optimizer):
        self.choice = choice
        self._wear(vertices, faces)
        self.optimizer = optimizer_over([self.parameter], choice)

    def _wear(self, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> None:
        self.faces = faces
        self.topology = topology_of(faces)
        strength = self.choice.smoothness if isinstance(self.choice, LargeSteps) else 0.0
        self.smoother = smoother(self.topology, len(vertices), strength) if strength else None
        start = vertices if self.smoother is None else roughened(self.smoother, vertices)
        self.parameter = start.detach().clone().requires_grad_()

    def live(self) -> Mesh:
        """The mesh, differentiable in the parameter."""
        return Mesh(self.parameter if self.smoother is None else smoothed(self.smoother, self.parameter), self.faces)

    @torch.no_grad()
    def mesh(self) -> Mesh:
        return Mesh(self.live().vertices.detach().clone(), self.faces)

    def state(self) -> dict[str, Tensor]:
        """What a resumed fit needs; `vertices` is the parameter itself."""
        return {"vertices": self.parameter, "faces": self.faces}

    def change(
        self,
        vertices: Float[Tensor, "W 3"],
        faces: Int64[Tensor, "G 3"],
        *,
        carry: Callable[[Float[Tensor, "V C"]], Float[Tensor, "W C"]],
    ) -> None:
        """Go on with another mesh; `carry` takes values of the old vertices to the new."""
        old = self.parameter
        self._wear(vertices, faces)
        swap_parameter(self.optimizer, old, self.parameter, carry=carry)

    def anneal(self, progress: float) -> None:
        """The learning rate at `progress` (0..1): from its peak to 0 as a cosine."""
        self.optimizer.param_groups[0]["lr"] = self.choice.lr * 0.5 * (1 + math.cos(math.pi * progress))


def has_left(mesh: Mesh) -> bool:
    """Whether a vertex is nowhere near the target any more, or is not a number: the fit diverges."""
    return not bool(mesh.vertices.detach().abs().amax() < FAR)


def begun(points: Float[Tensor, "N 3"], growth: Growth, choice: Optimizer, *, part: float = 1.0) -> Moulding:
    """The sphere, translated and scaled to the box of the points; or to a `part` of it, around the points' mean.

    From within, thin limbs grow out of the body; from without, what lies between them has to be drawn in.
    """
    sphere = ico_sphere(growth.first if isinstance(growth, Subdivided) else growth.level)
    low, high = points.amin(0), points.amax(0)
    middle = (low + high) / 2 + (points.mean(0) - (low + high) / 2) * (1 - part)
    half = part * ((high - low) / 2).clamp(min=0.05)
    return Moulding(sphere.vertices * half + middle, sphere.faces, choice)


def grown(moulding: Moulding, growth: Growth, index: int, steps: int) -> None:
    """Make the mesh finer if it is time to, before step `index`."""
    match growth:
        case Fixed():
            return
        case Subdivided(first, last, until):
            # Not before the first step: that one is taken by the coarsest mesh, however few there are.
            times = [max(1, round(steps * until * (i + 1) / (last - first))) for i in range(last - first)]
            for _ in range(times.count(index)):
                mesh = moulding.mesh()
                refinement = midpoint_refinement(mesh.faces, len(mesh.vertices))
                moulding.change(
                    refined(mesh.vertices, refinement),
                    refinement.faces,
                    carry=lambda values, how=refinement: refined(values, how),
                )
        case Remeshed(level, faces, times, until):
            turns = [max(1, round(steps * until * (i + 1) / times)) for i in range(times)]
            # A mesh that is not finite is left to the loop, which names the step.
            if index not in turns or not bool(torch.isfinite(moulding.parameter).all()):
                return
            done = sum(turn <= index for turn in turns) / times
            old = moulding.mesh()
            start = 20 * 4**level
            new = remesh(old, length_for(old, round(start * (faces / start) ** done)), rounds=2)
            places = closest_points(old, new.vertices)
            moulding.change(new.vertices, new.faces, carry=lambda values: carried(values, old, places))
