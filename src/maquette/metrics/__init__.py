"""How good a solid is: scores from definitions, and the named protocols that fix what is compared with what."""

from maquette.metrics.intervals import Estimate, Interval, Paired, bootstrap, paired, rank_correlation, ratio
from maquette.metrics.named import CMU2022, CMU2025, MAQUETTE, PROTOCOLS
from maquette.metrics.protocol import Chamfer, Protocol, VolumeIou, YawThenIcp, is_higher_better
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
from maquette.metrics.scoring import Scores, ceiling, no_scores, score
from maquette.metrics.summary import Summary, macro, summarise
from maquette.metrics.surfaces import Target, failure_of
from maquette.metrics.volumes import contains, iou_of_cells, volume_iou

__all__ = [
    "CMU2022",
    "CMU2025",
    "MAQUETTE",
    "PROTOCOLS",
    "Chamfer",
    "Estimate",
    "FScore",
    "Interval",
    "Matches",
    "Paired",
    "Protocol",
    "Scores",
    "Summary",
    "Target",
    "VolumeIou",
    "YawThenIcp",
    "bootstrap",
    "ceiling",
    "chamfer_plain",
    "chamfer_squared",
    "contains",
    "f_score",
    "failure_of",
    "iou_of_cells",
    "is_higher_better",
    "macro",
    "match",
    "match_to_itself",
    "no_scores",
    "normal_consistency",
    "paired",
    "rank_correlation",
    "ratio",
    "score",
    "summarise",
    "volume_iou",
    "voxel_iou",
]
