"""When two embeddings show the same person. Each embedder declares its thresholds (``plugins.Engine.thresholds``)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from castline.records import Grade

#: Above every cosine similarity.
NEVER = 2.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Cosine similarities at which one embedder is trusted.

    Attributes:
        known: from here on a face may be given a name.
        ambiguous: from here up to ``known`` it might be that person; below, it is unknown.
        same_track: from here on two faces at the same place in neighbouring frames are one person. Lower than the
            others, because position and time also support it.
        moved: from here on a face that moved within a shot, no further than people do, is the same person.
        cluster: from here on the mean embeddings of two unknown tracks are one person. Higher than
            ``known``: means of strangers are closer than their photos, and a wrong merge is worse than
            a person listed twice.
        poor: how much higher ``known``, ``ambiguous``, ``moved`` and ``cluster`` are for a poor face
            (``recognition/grade.py``): blur and few pixels make strangers more alike.
        both: how much higher still ``cluster`` is for two tracks neither of which is clear: both pictures may have the
            same fault. Measured with FaceNet (docs/FACES.md).
    """

    known: float
    ambiguous: float
    same_track: float
    moved: float
    cluster: float
    poor: float
    both: float = 0.100

    def of(self, grade: Grade) -> Thresholds:
        """The thresholds for a face of this grade; a useless one can never reach them."""
        if grade in ("clear", "degraded"):
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


@dataclass(frozen=True, slots=True)
class VoiceThresholds:
    """Cosine similarities of a voice's mean embedding to an enrolled one, at which one voice encoder is trusted.

    Attributes:
        known: from here on it is that person, if nobody else's is nearer than ``apart`` to it.
        ambiguous: from here up to ``known`` it might be.
        unlike: below this, it is somebody else's, even if the person's mouth moves.
        apart: how much less similar it must be to anybody else's.
    """

    known: float
    ambiguous: float
    unlike: float
    apart: float
