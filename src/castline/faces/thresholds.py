"""When two embeddings show the same person: one table, per embedder, with where each number is from.

All values are cosine similarities. "Measured" means 10 people x 10 photos of LFW, all 450 pairs of one
person and all 4500 pairs of two, as ``castline eval faces`` counts them; docs/FACES.md has the curves. A
false match rate below 1/4500 cannot be seen on them, so ``known`` also keeps a distance from the best pair
of strangers.
"""

from __future__ import annotations

from dataclasses import dataclass

from castline.errors import ModelError


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
    """

    known: float
    ambiguous: float
    same_track: float
    cluster: float


_DLIB = Thresholds(
    known=0.930,  # measured: best pair of strangers 0.918, so none of 4500; misses 6.4 % of single pairs,
    # and 1.2 % of photos when the best of three enrolled photos counts (any three: no stranger in 75600)
    ambiguous=0.915,  # measured: 2 of 4500 strangers, misses 2.9 % of pairs
    same_track=0.900,  # measured: 1.6 % of strangers, misses 0.4 % of pairs
    cluster=0.940,  # measured on means of five photos, any five: strangers up to 0.934, one person from 0.976 on
)

_ARCFACE = Thresholds(
    known=0.400,  # measured with EdgeFace-XXS: best pair of strangers 0.284; misses 3.3 % of single pairs,
    # 0.4 % of photos when the best of three enrolled photos counts (any three: no stranger in 75600)
    ambiguous=0.300,  # measured: no stranger of 4500, misses 0.2 % of pairs
    same_track=0.275,  # measured: 2 of 4500 strangers, no miss
    cluster=0.450,  # measured on means of five photos, any five: strangers up to 0.244, one person from 0.758 on
)

_FACENET = Thresholds(
    # Not measured here (the weights were not at hand). A Euclidean distance of 0.8 to 0.9 between unit
    # vectors is where published evaluations of this net put few false matches: cosine 0.68 to 0.60.
    known=0.700,
    ambiguous=0.600,
    same_track=0.550,
    cluster=0.750,
)

#: By embedder id; models given by path share the entry of their kind.
THRESHOLDS: dict[str, Thresholds] = {
    "dlib-resnet-v1": _DLIB,
    "facenet-vggface2": _FACENET,
    "facenet-vggface2-int8": _FACENET,  # not measured here; fp32's
    "arcface": _ARCFACE,
}


def thresholds_for(model: str) -> Thresholds:
    """The thresholds of an embedder id as written into parts ; the digest of its weights at the end does not count.

    Raises:
        ModelError: nothing is known of this id.
    """
    found = THRESHOLDS.get(model) or THRESHOLDS.get(model.rpartition("-")[0])
    if found is None:
        raise ModelError(f"no similarity thresholds are known for the embedder {model!r}")
    return found
