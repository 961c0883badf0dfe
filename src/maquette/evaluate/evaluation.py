"""All scores of one evaluation, how the methods are named, and what follows from the scores. N objects."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from maquette.evaluate.baselines import ORACLE_CANDIDATES
from maquette.evaluate.scoring import Row
from maquette.metrics import Interval, Paired, Protocol, Scores, Summary, bootstrap, paired, summarise

UNLABELLED = "(no category)"

LABELS = {
    "occupancy": "occupancy",
    "atlas": "patches",
    "mean_shape": "mean shape",
    "retrieval_encoder": "retrieval, encoder",
    "retrieval_thumbnail": "retrieval, thumbnail",
    "oracle": "oracle",
    "ceiling": "ceiling",
    "ceiling_voxels": "ceiling, voxels",
}
"""How methods are named in tables and plots; a representation that is not here goes by its own name."""

BASELINES = ("mean_shape", "retrieval_encoder", "retrieval_thumbnail", "oracle", "ceiling", "ceiling_voxels")
"""In the order of tables."""

WORDS = {
    "voxels": "the network's occupancies, their surface at 0.5",
    "points": "the network's cloud",
    "mesh": "the network's mesh",
    "occupancy": "the network's occupancy field, its surface found from coarse to fine",
    "atlas": "the network's patches, points evenly spread over them",
    "mean_shape": "mean occupancy over the category's training objects, at the level best for F@0.05 on training "
    "objects; uses the truth's category",
    "retrieval_encoder": "training object whose view is nearest by cosine of the trained encoder's features, over all "
    "training objects and views",
    "retrieval_thumbnail": "training object whose view is nearest by 16 x 16 grey and mask (Euclidean), a feature "
    "without training, over all training objects and views",
    "oracle": f"best by F@0.05 (2,048 points) of the {ORACLE_CANDIDATES} training objects nearest to the truth by "
    "chamfer distance of 512 points; uses the truth",
    "ceiling": "the truth against another sampling of itself: each of its points against all its others",
    "ceiling_voxels": "the truth's own voxels, their surface at 0.5",
}
"""What each method is."""


TURNED = {"mean_shape": "the true camera", "oracle": "the true camera"} | dict.fromkeys(
    ("retrieval_encoder", "retrieval_thumbnail"), "the camera of the view that was found"
)
"""What turns a baseline's answer where a network predicts in the frame of the viewer."""


def label(method: str) -> str:
    return LABELS.get(method, method)


def words(method: str, frame: str = "object") -> str:
    told = WORDS.get(method, f"the network's {method}")
    return f"{told}; turned by {TURNED[method]}" if frame == "viewer" and method in TURNED else told


def objects_in_words(data: dict) -> str:
    """`24 test objects of NAME`, from the facts of an evaluation."""
    split = "" if data["split"] == "all" else f"{data['split']} "
    return f"{data['evaluated']} {split}objects of {data['name']}"


@dataclass(frozen=True)
class Evaluation:
    """All scores of one evaluation and what they depend on."""

    protocol: Protocol
    representations: tuple[str, ...]
    """The network's."""
    rows: tuple[Row, ...]
    facts: dict
    """Run, data, counts, seed, in JSON's types."""

    def methods(self) -> list[str]:
        """Those with scores: the network's representations, then what stands beside them."""
        there = {row.method for row in self.rows}
        return [name for name in (*self.representations, *BASELINES) if name in there]

    def network(self) -> list[str]:
        return [name for name in self.methods() if name in self.representations]

    def summary(self, method: str, category: str | None = None) -> Summary:
        """Over all objects, or over those of one category."""
        return summarise(self._scores(method, category))

    def values(self, method: str, score: str, category: str | None = None) -> Float[np.ndarray, " N"]:
        """A score of every object that has it, in the order of the objects."""
        found = [one.values[score] for one in self._scores(method, category) if score in one.values]
        return np.array(found, dtype=np.float64)

    def interval(self, method: str, score: str) -> Interval | None:
        """Of the mean and of the median; None where no object has the score."""
        values = self.values(method, score)
        return bootstrap(values, seed=self.facts["seed"]) if len(values) else None

    def against(self, method: str, other: str) -> Paired | None:
        """The headline of one method minus that of another on the objects that have both; None where there are none."""
        name = self.headline()
        first, second = (
            {
                row.entry.id: row.scores.values[name]
                for row in self.rows
                if row.method == m and name in row.scores.values
            }
            for m in (method, other)
        )
        both = [id for id in first if id in second]
        if not both:
            return None
        ours, theirs = (np.array([scores[id] for id in both]) for scores in (first, second))
        return paired(ours, theirs, seed=self.facts["seed"])

    def categories(self) -> list[str]:
        return sorted({category_of(row) for row in self.rows})

    def by_category(self, method: str) -> dict[str, Summary]:
        """Of the categories in which the method has an answer."""
        found = {name: self.summary(method, name) for name in self.categories()}
        return {name: summary for name, summary in found.items() if summary.objects}

    def untrained(self) -> list[str]:
        """The categories that no training object has, where it is known what was trained on."""
        known = self.facts["training_data"].get("categories")
        return [] if known is None else [name for name in self.categories() if name not in (*known, UNLABELLED)]

    def better_retrieval(self) -> str | None:
        """Of the two features, the one with the better mean headline: the baseline to beat."""
        name, sign = self.headline(), 1 if self.protocol.higher_is_better else -1
        means = {m: self.summary(m).means.get(name) for m in self.methods() if m.startswith("retrieval")}
        known = {method: sign * mean for method, mean in means.items() if mean is not None}
        return max(known, key=lambda method: known[method], default=None)

    def own_points(self, method: str) -> list[int]:
        """How many points the method's clouds had before they were resampled to the protocol's number."""
        return sorted({n for row in self.rows if row.method == method and (n := row.scores.own_points) is not None})

    def fewest_true_points(self) -> int:
        """The least that any object was compared with: fewer than the protocol's where the data holds fewer."""
        counts = [row.scores.truth_points for row in self.rows if row.method == "ceiling"]
        return min((count for count in counts if count is not None), default=0)

    def places(self) -> tuple[int, int] | None:
        """At how few and at how many places volumes were compared, if they were."""
        counts = [row.scores.places for row in self.rows if row.scores.places is not None]
        return (min(counts), max(counts)) if counts else None

    def headline(self) -> str:
        return self.protocol.headline

    def _scores(self, method: str, category: str | None) -> list[Scores]:
        return [
            row.scores
            for row in self.rows
            if row.method == method and (category is None or category_of(row) == category)
        ]


def category_of(row: Row) -> str:
    return row.entry.category or UNLABELLED


def is_aside(evaluation: Evaluation, method: str) -> bool:
    """Told, but not what a network is measured against."""
    retrieval = method.startswith("retrieval") and method != evaluation.better_retrieval()
    return retrieval or method == "ceiling_voxels"
