"""When two embeddings show the same person: one table, per embedder, with where each number is from.

All values are cosine similarities. "Clean" means 10 people x 10 photos of LFW, all 450 pairs of one person and all
4500 pairs of two, as ``castline eval faces`` counts them. "Degraded" means the same photos in 25 ways smaller, blurred,
compressed and darkened, each against all clean ones: 232 000 pairs of two people. docs/FACES.md has the numbers and
curves. Rarer false matches cannot be seen on them, so ``known`` also keeps a distance from the best pair of strangers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from castline.errors import ModelError
from castline.records import Grade

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
        moved: from here on a face that went elsewhere within a shot, no further than people do, is the same person.
        cluster: from here on the mean embeddings of two unknown tracks are one person. Higher than
            ``known``: means of strangers are closer than their photos, and a wrong merge is worse than
            a person listed twice.
        poor: how much higher ``known``, ``ambiguous``, ``moved`` and ``cluster`` are for a poor face
            (``recognition/grade.py``): blur and few pixels bring strangers closer.
    """

    known: float
    ambiguous: float
    same_track: float
    moved: float
    cluster: float
    poor: float

    def of(self, grade: Grade) -> Thresholds:
        """What a face of this grade must reach; one that tells nothing reaches nothing."""
        if grade == "clear":
            return self
        if grade == "useless":
            return replace(self, known=NEVER, ambiguous=NEVER, moved=NEVER, cluster=NEVER)
        return replace(
            self,
            known=self.known + self.poor,
            ambiguous=self.ambiguous + self.poor,
            moved=self.moved + self.poor,
            cluster=self.cluster + self.poor,
        )


_DLIB = Thresholds(
    known=0.940,  # measured: strangers reach 0.918 clean and 0.934 degraded, a passer-by in a film 0.934 of a man in
    # another film; misses 17.6 % of clean pairs, 2.1 % of photos with five enrolled
    ambiguous=0.920,  # measured: 1 of 4500 clean strangers, misses 5.3 % of pairs
    same_track=0.915,  # at one place, in a slide show whose cuts were missed, strangers reach 0.911
    moved=0.940,  # as known
    cluster=0.955,  # measured on means of five photos: strangers up to 0.935 clean, 0.954 in JPEG of quality 10; one
    # person from 0.976 on
    poor=0.010,  # measured: poor strangers reach 0.938 of a clean photo and 0.958 of each other
)

_ARCFACE = Thresholds(
    known=0.400,  # measured with EdgeFace-XXS: best pair of strangers 0.284 clean, 0.349 degraded; misses 3.3 % of
    # single pairs, 0.4 % of photos when the best of three enrolled photos counts
    ambiguous=0.300,  # measured: no stranger of 4500, misses 0.2 % of pairs
    same_track=0.275,  # measured: 2 of 4500 strangers, no miss
    moved=0.400,  # as known
    cluster=0.500,  # measured on means of five photos: strangers up to 0.238 clean, 0.496 in the same motion blur; one
    # person from 0.745 on
    poor=0.050,  # measured: poor strangers reach 0.349 of a clean photo and 0.553 of each other
)

_CASIA = Thresholds(
    known=0.620,  # measured: strangers reach 0.512 clean and 0.587 degraded, 80 faces of other films and photos 0.556;
    # misses 16.7 % of clean pairs, 2.1 % of photos with five enrolled
    ambiguous=0.530,  # measured: no clean pair of strangers, misses 6.2 % of pairs
    same_track=0.530,  # measured as above; with 0.500 (2 of 4500 strangers) cut sequences mix people
    moved=0.550,  # above all clean strangers; at known, people who walk through a street are listed 1.4 times each
    cluster=0.700,  # measured on means of five photos: strangers up to 0.506 clean, 0.687 at 24 px; one person from
    # 0.741 on, clean from 0.778
    poor=0.060,  # measured: poor strangers reach 0.562 of a clean photo and 0.731 of each other; with 0.040 one of
    # 64 277 sightings of strangers in cut footage got a name, with 0.060 none
)

_VGGFACE2 = Thresholds(
    # Not measured here (the weights were not at hand). A Euclidean distance of 0.8 to 0.9 between unit
    # vectors is where published evaluations of this net put few false matches: cosine 0.68 to 0.60.
    known=0.700,
    ambiguous=0.600,
    same_track=0.550,
    moved=0.700,
    cluster=0.750,
    poor=0.040,
)

#: By embedder id; models given by path share the entry of their kind.
THRESHOLDS: dict[str, Thresholds] = {
    "dlib-resnet-v1": _DLIB,
    "facenet-casia": _CASIA,
    "facenet-casia-int8": _CASIA,  # measured: strangers reach 0.522 clean and 0.592 degraded; all misses within 0.5 %
    "facenet-vggface2": _VGGFACE2,
    "facenet-vggface2-int8": _VGGFACE2,  # not measured here; fp32's
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
