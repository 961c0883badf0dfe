"""Moulding: any representation to any target, by a loop that is yours."""

from maquette.fitting.frame import unit_from_target
from maquette.fitting.loop import Objective, Step, fit, generator_at

__all__ = ["Objective", "Step", "fit", "generator_at", "unit_from_target"]
