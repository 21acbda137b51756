"""Measures of how well embeddings tell people apart, with their formulas.

Verification asks of two photos "one person or two?". With ``S`` the similarities of the pairs that show
one person, ``D`` those of pairs that show two, and ``t`` a threshold:

    FAR(t)       false accepts:  #{d in D: d >= t} / #D
    FRR(t)       false rejects:  #{s in S: s < t} / #S
    accuracy(t)  (#{s >= t} + #{d < t}) / (#S + #D)
    balanced(t)  1 - (FAR(t) + FRR(t)) / 2: both kinds count alike, however many pairs there are of each
    AUC          P(s > d) + P(s = d) / 2 over all s, d: the area under the ROC curve (Mann and Whitney 1947)
    EER          the error rate where FAR = FRR

Identification asks of one photo "which of the known people, or a stranger?" and is decided by the same code as in a
result (``castline.recognition.identity``). Open-set measures after Phillips, Grother and Micheals, "Evaluation Methods
in Face Recognition" (Handbook of Face Recognition, 2011).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from castline.engines.thresholds import Thresholds
from castline.errors import EvaluationError
from castline.recognition.identity import identify_each
from castline.recognition.sightings import Enrolled
from castline.records import Gallery, Grade, Record

Scores = NDArray[np.float64]
"""Similarities, shape (n,), float64, any order."""


class OperatingPoint(Record):
    """Error rates at one threshold.

    Attributes:
        name: the model's threshold, ``ambiguous`` or ``known``.
        far, frr: 0..1; the counts are their numerators.
    """

    name: str
    threshold: float
    far: float
    frr: float
    false_accepts: int
    false_rejects: int


class Verification(Record):
    """Attributes:
    accuracy, balanced_accuracy: at the threshold that is best for each, 0..1.
    lowest_same, highest_different: the hardest pairs; the kinds are separable if the first is larger.
    """

    same_pairs: int
    different_pairs: int
    accuracy: float
    accuracy_threshold: float
    balanced_accuracy: float
    balanced_accuracy_threshold: float
    auc: float
    eer: float
    eer_threshold: float
    lowest_same: float
    highest_different: float
    at: tuple[OperatingPoint, ...]


class WrongName(Record):
    """A photo that got a wrong name; ``enrolled`` distinguishes a mix-up from a stranger."""

    photo: str
    person: str
    named: str
    enrolled: bool


class Identification(Record):
    """Counts of photos, and rates (0..1) made from them; a rate over nothing is None.

    Attributes:
        rank1: enrolled people's photos whose nearest name is right, whatever the threshold.
        named, confused, ambiguous, unknown: enrolled people's photos by outcome: the right name, a wrong
            one, no name but candidates, no name. They add up to ``probes``.
        strangers_named: the worst error.
        strangers_ambiguous, strangers_unknown: with ``strangers_named`` they add up to ``stranger_photos``.
        rejected_as_unknown: share of the strangers' photos that come out ``unknown``.
        rejected: share that gets no name: ``unknown`` or ``ambiguous``.
    """

    enrolled_people: int
    enrolled_photos: int
    probes: int
    rank1: float | None
    named: int
    confused: int
    ambiguous: int
    unknown: int
    strangers: int
    stranger_photos: int
    strangers_named: int
    strangers_ambiguous: int
    strangers_unknown: int
    rejected_as_unknown: float | None
    rejected: float | None
    wrong_names: tuple[WrongName, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """A query photo.

    Attributes:
        person: who it truly shows.
        photo: its name, for people.
        vector: embedding of the gallery's model, unit norm, shape (d,), float32.
        grade: how far it can be trusted.
    """

    person: str
    photo: str
    vector: NDArray[np.float32]
    grade: Grade = "clear"


def pair_similarities(vectors: NDArray[np.float32], people: Sequence[str]) -> tuple[Scores, Scores]:
    """Cosine similarities of all pairs, those of one person and those of two.

    Args:
        vectors: unit norm, shape (n, d), float32.
        people: who each row shows.
    """
    rows = vectors.astype(np.float64)
    labels = np.unique(np.asarray(people), return_inverse=True)[1]
    first, second = np.triu_indices(len(rows), 1)
    similarity = (rows @ rows.T)[first, second]
    same = labels[first] == labels[second]
    return similarity[same], similarity[~same]


def error_rates(same: Scores, different: Scores, thresholds: Scores) -> tuple[Scores, Scores]:
    """FAR and FRR at each threshold, shape as ``thresholds``, 0..1; ``same`` and ``different`` not empty."""
    accepted = len(different) - np.searchsorted(np.sort(different), thresholds, side="left")
    rejected = np.searchsorted(np.sort(same), thresholds, side="left")
    return accepted / len(different), rejected / len(same)


def area_under_curve(same: Scores, different: Scores) -> float:
    """AUC, 0..1; 0.5 is chance. Unchanged by any strictly increasing map of the similarities."""
    ordered = np.sort(different)
    below = np.searchsorted(ordered, same, side="left").sum()
    not_above = np.searchsorted(ordered, same, side="right").sum()
    return float((below + not_above) / 2 / (len(same) * len(different)))


def cuts(same: Scores, different: Scores) -> Scores:
    """A threshold for every way to divide the similarities in two, ascending.

    Each is in the middle between neighbours, so that a threshold found on these photos keeps a distance from both.
    """
    values = np.unique(np.concatenate([same, different]))
    middle = (values[:-1] + values[1:]) / 2
    # Between neighbouring floats there is no middle; the upper one divides them as well.
    middle = np.where(middle > values[:-1], middle, values[1:])
    return np.concatenate([values[:1], middle, np.nextafter(values[-1:], np.inf)])


def equal_error_rate(same: Scores, different: Scores) -> tuple[float, float]:
    """EER, 0..1, and its threshold; between two thresholds both rates are interpolated linearly."""
    thresholds = cuts(same, different)
    far, frr = error_rates(same, different, thresholds)
    # FAR - FRR falls from 1 at the lowest cut to -1 at the highest, so it crosses zero in between.
    after = int(np.argmax(frr >= far))
    before = after - 1
    gap_before, gap_after = far[before] - frr[before], far[after] - frr[after]
    part = gap_before / (gap_before - gap_after)
    rate = far[before] + part * (far[after] - far[before])
    return float(rate), float(thresholds[before] + part * (thresholds[after] - thresholds[before]))


def best_accuracy(same: Scores, different: Scores, *, balanced: bool = False) -> tuple[float, float]:
    """The highest accuracy (0..1) any threshold reaches, and the highest such threshold.

    The highest, because the stricter of two equally accurate thresholds names fewer strangers.
    """
    thresholds = cuts(same, different)
    far, frr = error_rates(same, different, thresholds)
    weight = 0.5 if balanced else len(different) / (len(same) + len(different))
    wrong = weight * far + (1 - weight) * frr
    # Rounded, because equal counts may differ in the last digit.
    at = int(np.flatnonzero(np.round(wrong, 12) == np.round(wrong, 12).min())[-1])
    return float(1 - wrong[at]), float(thresholds[at])


def verification(same: Scores, different: Scores, limits: Thresholds) -> Verification:
    """All verification measures, and the error rates at the model's thresholds.

    Raises:
        EvaluationError: no pair of one person, or no pair of two people.
    """
    if not len(same) or not len(different):
        raise EvaluationError("verification needs a pair of photos of one person and a pair of two people")
    accuracy, accuracy_threshold = best_accuracy(same, different)
    balanced, balanced_threshold = best_accuracy(same, different, balanced=True)
    eer, eer_threshold = equal_error_rate(same, different)
    return Verification(
        same_pairs=len(same),
        different_pairs=len(different),
        accuracy=accuracy,
        accuracy_threshold=accuracy_threshold,
        balanced_accuracy=balanced,
        balanced_accuracy_threshold=balanced_threshold,
        auc=area_under_curve(same, different),
        eer=eer,
        eer_threshold=eer_threshold,
        lowest_same=float(same.min()),
        highest_different=float(different.max()),
        at=tuple(
            _operating_point(name, value, same, different)
            for name, value in (("ambiguous", limits.ambiguous), ("known", limits.known))
        ),
    )


def _operating_point(name: str, threshold: float, same: Scores, different: Scores) -> OperatingPoint:
    accepts, rejects = int((different >= threshold).sum()), int((same < threshold).sum())
    return OperatingPoint(
        name=name,
        threshold=threshold,
        far=accepts / len(different),
        frr=rejects / len(same),
        false_accepts=accepts,
        false_rejects=rejects,
    )


def identification(gallery: Gallery, probes: Sequence[Probe], limits: Thresholds) -> Identification:
    """Query the pipeline with each photo alone; people who are not in the gallery are strangers."""
    known = Enrolled.of(gallery, limits)
    enrolled = set(known.names)
    outcomes: Counter[str] = Counter()
    first = 0
    wrong: list[WrongName] = []
    answers = identify_each([probe.vector for probe in probes], known, [probe.grade for probe in probes])
    for probe, (identity, names) in zip(probes, answers, strict=True):
        nearest = names[0].name if names else None
        mine = probe.person in enrolled
        first += nearest == probe.person
        if identity == "known" and nearest is not None and nearest != probe.person:
            wrong.append(WrongName(photo=probe.photo, person=probe.person, named=nearest, enrolled=mine))
            outcomes["confused" if mine else "strangers_named"] += 1
        elif identity == "known":
            outcomes["named"] += 1
        else:
            outcomes[identity if mine else f"strangers_{identity}"] += 1
    strangers = [probe.person for probe in probes if probe.person not in enrolled]
    own = len(probes) - len(strangers)
    unnamed = outcomes["strangers_ambiguous"] + outcomes["strangers_unknown"]
    kinds = ("named", "confused", "ambiguous", "unknown")
    stranger_kinds = ("strangers_named", "strangers_ambiguous", "strangers_unknown")
    return Identification(
        enrolled_people=len(enrolled),
        enrolled_photos=len(gallery.faces),
        probes=own,
        rank1=first / own if own else None,
        strangers=len(set(strangers)),
        stranger_photos=len(strangers),
        rejected_as_unknown=outcomes["strangers_unknown"] / len(strangers) if strangers else None,
        rejected=unnamed / len(strangers) if strangers else None,
        wrong_names=tuple(wrong),
        **{kind: outcomes[kind] for kind in (*kinds, *stranger_kinds)},
    )
