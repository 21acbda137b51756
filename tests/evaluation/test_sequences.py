"""Sequences of labelled faces: what is counted, and that a stranger who looks like somebody counts as misnamed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from castline.engines.plugins import thresholds_for
from castline.errors import EvaluationError
from castline.evaluation.mot import Mot
from castline.evaluation.sequences import KINDS, Kind, Shown, count
from castline.evaluation.tracks import measure_tracks, read_clips
from castline.recognition.cuts import pack
from castline.records import Embedding, Face

_MODEL = "dlib-resnet-v1"
_LIMITS = thresholds_for(_MODEL)


def _shown(person: int, photo: int, looks_like: int) -> Shown:
    vector = np.zeros(128, np.float32)
    vector[looks_like], vector[64 + photo] = 0.98, (1 - 0.98**2) ** 0.5
    chance = np.random.default_rng(person * 100 + photo)
    face = Face(
        box=(0.3, 0.3, 0.6, 0.7),
        landmarks=((0.4, 0.4), (0.5, 0.4), (0.45, 0.5), (0.4, 0.6), (0.5, 0.6)),
        score=0.999,
        size_px=90,
        sharpness=200,
        quality=0.8,
        embedding=Embedding.of(_MODEL, vector),
    )
    look = pack(chance.integers(0, 256, (8, 12), np.uint8), chance.random(48, np.float32) ** 4)
    return Shown(f"person-{person}", f"{person}/{photo}.jpg", face, look)


def _conditions(people: int = 4, photos: int = 5, double: bool = False) -> dict[str, dict[str, Shown]]:
    """``double``: the second half of the people look like the first half."""
    items = [
        _shown(person, photo, person % (people // 2) if double else person)
        for person in range(people)
        for photo in range(photos)
    ]
    return {"clean": {item.photo: item for item in items}, "moved": {item.photo: item for item in items}}


@pytest.mark.parametrize("kind", KINDS)
def test_people_who_differ_are_told_apart(kind: Kind) -> None:
    found = count(_conditions(), _LIMITS, _MODEL, kind, "clean", orders=3, enrol=2)
    assert found.sightings == found.known + found.strangers
    assert (found.strangers_named, found.wrong_names, found.mixed_tracks, found.mixed_people) == (0, 0, 0, 0)
    assert found.named_right == found.known
    assert (found.identity_switches, found.broken_tracks, found.idf1) == (0, 0, 1.0)
    assert found.people_found == found.people_true == 12
    if kind == "slides":
        assert (found.sightings, found.tracks) == (3 * (2 * 3 + 2 * 5), 3 * 16)


def test_doubles_are_counted_as_misnamed() -> None:
    found = count(_conditions(double=True), _LIMITS, _MODEL, "slides", "clean", orders=6, enrol=2)
    assert found.strangers_named > 0
    assert found.mixed_people > 0
    assert found.people_found < found.people_true
    assert found.idf1 < 0.8


def test_switches_and_idf1() -> None:
    mot = Mot()
    mot.add([[("Ada", 1), ("Bea", 2)], [("Ada", 1), ("Bea", 1)], [("Ada", 3), ("Bea", None)], [("Ada", 1)]])
    mot.add([[("Ada", 2)], [("Ada", 2)], []])
    # Ada moves to track 3 and back. Bea moves to 1, which is Ada's, and is missed once. The sequences are separate.
    assert mot.counts() == {"identity_switches": 2, "idtp": 6, "idfp": 1, "idfn": 3}


def test_the_order_is_the_same_each_time() -> None:
    shown = _conditions()
    assert measure_tracks(shown, _MODEL, "d", orders=2, enrol=2) == measure_tracks(
        shown, _MODEL, "d", orders=2, enrol=2
    )


def test_the_report_adds_up() -> None:
    report = measure_tracks(_conditions(), _MODEL, "mtcnn", orders=2, enrol=2)
    assert [(row.kind, row.condition) for row in report.counts] == [
        (kind, condition) for kind in KINDS for condition in ("clean", "mixed")
    ]
    assert report.total.sightings == sum(row.sightings for row in report.counts)
    assert (report.people, report.photos, report.not_found) == (4, 20, {})


def test_too_few_photos() -> None:
    with pytest.raises(EvaluationError, match="photos beside the 5 that are enrolled"):
        count(_conditions(), _LIMITS, _MODEL, "slides", "clean", orders=1, enrol=5)


def test_clips(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    table = tmp_path / "clips.tsv"
    table.write_text("file\tpeople\na.mp4\t2\n")
    assert read_clips(table) == [(tmp_path / "a.mp4", 2)]
    table.write_text("file\tpeople\nb.mp4\t2\n")
    with pytest.raises(EvaluationError, match="line 2: needs a file that exists, and a number of people"):
        read_clips(table)
    with pytest.raises(EvaluationError, match="not a tab-separated table"):
        read_clips(tmp_path / "none.tsv")
