"""How good a solid is: scores from definitions, and the named protocols that fix what is compared with what."""

from maquette.metrics.protocols import (
    PROTOCOLS,
    Cmu2025Protocol,
    MaquetteProtocol,
    Scores,
    ScoringProtocol,
    Target,
    ceiling,
    failure_of,
    no_scores,
    score,
)
from maquette.metrics.scores import (
    FScore,
    Matches,
    chamfer_plain,
    chamfer_squared,
    f_score,
    match,
    match_to_itself,
    normal_consistency,
    voxel_iou,
)
from maquette.metrics.summary import Summary, macro, summarise

__all__ = [
    "PROTOCOLS",
    "Cmu2025Protocol",
    "FScore",
    "MaquetteProtocol",
    "Matches",
    "Scores",
    "ScoringProtocol",
    "Summary",
    "Target",
    "ceiling",
    "chamfer_plain",
    "chamfer_squared",
    "f_score",
    "failure_of",
    "macro",
    "match",
    "match_to_itself",
    "no_scores",
    "normal_consistency",
    "score",
    "summarise",
    "voxel_iou",
]
