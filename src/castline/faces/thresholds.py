"""When two embeddings show the same person: one table, per embedder, with where each number is from.

All values are cosine similarities. "Measured" means 10 people x 10 photos of LFW, all 450 pairs of one
person and all 4500 pairs of two, as ``castline eval faces`` counts them; docs/FACES.md has the curves. A
false match rate below 1/4500 cannot be seen on them, so ``known`` also keeps a distance from the best pair
of strangers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from castline.errors import ModelError
from castline.faces.grade import Grade

#: Above every cosine similarity.
NEVER = 2.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Cosine similarities at which one embedder is believed.

    Attributes:
        known: from here on a face may be given a name.
        ambiguous: from here up to ``known`` it might be that person; below, it is unknown.
        same_track: from here on two faces at the same place of neighbouring frames are one person.
            Lower than the others, because position and time vouch for it too.
        cluster: from here on the mean embeddings of two unknown tracks are one person. Higher than
            ``known``: means of strangers are closer than their photos, and a wrong merge is worse than
            a person listed twice.
        poor: how much higher ``known``, ``ambiguous`` and ``cluster`` are for a poor face
            (``faces/grade.py``): blur and few pixels bring strangers closer.
    """

    known: float
    ambiguous: float
    same_track: float
    cluster: float
    poor: float

    def of(self, grade: Grade) -> Thresholds:
        """What a face of this grade must reach; one that tells nothing reaches nothing."""
        if grade == "clear":
            return self
        if grade == "useless":
            return replace(self, known=NEVER, ambiguous=NEVER, cluster=NEVER)
        return replace(
            self, known=self.known + self.poor, ambiguous=self.ambiguous + self.poor, cluster=self.cluster + self.poor
        )


_DLIB = Thresholds(
    known=0.935,  # measured: best pair of strangers 0.918 on clean photos, 0.934 on JPEG of quality 5 and 0.931
    # on motion blur; misses 1.2 % of clean photos when the best of five enrolled photos counts
    ambiguous=0.915,  # measured: 2 of 4500 strangers, misses 2.9 % of pairs
    same_track=0.915,  # as ambiguous: at one place, in a slide show whose cuts were missed, strangers reach 0.911
    cluster=0.945,  # measured: means of five photos of strangers up to 0.934, single ones in JPEG of quality 5 0.942
    poor=0.010,  # measured: blurred or 25 px wide, strangers reach 0.932 of a clean photo and 0.948 of each other
)

_ARCFACE = Thresholds(
    known=0.400,  # measured with EdgeFace-XXS: best pair of strangers 0.284; misses 3.3 % of single pairs,
    # 0.4 % of photos when the best of three enrolled photos counts (any three: no stranger in 75600)
    ambiguous=0.300,  # measured: no stranger of 4500, misses 0.2 % of pairs
    same_track=0.275,  # measured: 2 of 4500 strangers, no miss
    cluster=0.450,  # measured on means of five photos, any five: strangers up to 0.244, one person from 0.758 on
    poor=0.050,  # not measured
)

_FACENET = Thresholds(
    # Not measured here (the weights were not at hand). A Euclidean distance of 0.8 to 0.9 between unit
    # vectors is where published evaluations of this net put few false matches: cosine 0.68 to 0.60.
    known=0.700,
    ambiguous=0.600,
    same_track=0.550,
    cluster=0.750,
    poor=0.050,
)

#: By embedder id; models given by path share the entry of their kind.
THRESHOLDS: dict[str, Thresholds] = {
    "dlib-resnet-v1": _DLIB,
    "facenet-vggface2": _FACENET,
    "facenet-vggface2-int8": _FACENET,  # not measured here; fp32's
    "arcface": _ARCFACE,
}


def thresholds_for(model: str) -> Thresholds:
    """The thresholds of an embedder id as written into parts (``arcface-<digest>`` has ``arcface``'s).

    Raises:
        ModelError: nothing is known of this id.
    """
    found = THRESHOLDS.get(model) or THRESHOLDS.get(model.partition("-")[0])
    if found is None:
        raise ModelError(f"no similarity thresholds are known for the embedder {model!r}")
    return found
