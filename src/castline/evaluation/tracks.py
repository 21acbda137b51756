"""From labelled photos and clips to a report on tracks: describe everything once, then count."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from castline.engines.base import Detector, Embedder
from castline.engines.plugins import thresholds_for
from castline.errors import EvaluationError, UnitError
from castline.evaluation.dataset import PhotoFolder
from castline.evaluation.sequences import KINDS, Conditions, Shown, TracksCount, count
from castline.recognition.dominant import dominant
from castline.recognition.identity import people_on
from castline.records import FrameFaces, Gallery, Options, Record
from castline.settings import Settings

_MAX_SIDE = 1600


class ClipCount(Record):
    """Attributes:
    people_found, people_true: number of people in the result, and in the list of clips.
    tracks: of the result.
    """

    file: str
    sightings: int
    tracks: int
    people_found: int
    people_true: int


class TracksReport(Record):
    """The findings of ``castline eval tracks``.

    Attributes:
        model: id of the embedder; ``detector`` that of the detector.
        orders, enrol: the protocol (``castline.evaluation.sequences``).
        not_found: by condition, the number of photos without a dominant face, if any.
        total: of ``counts``; its kind and condition are ``all``.
    """

    model: str
    detector: str
    people: int
    photos: int
    orders: int
    enrol: int
    not_found: dict[str, int]
    counts: tuple[TracksCount, ...]
    total: TracksCount
    clips: tuple[ClipCount, ...] = ()


def show(
    data: PhotoFolder,
    detector: Detector,
    embedder: Embedder,
    conditions: Sequence[str],
    done: Callable[[], None] | None = None,
) -> Conditions:
    """Every photo's dominant face in every condition, found and embedded like frames of a video.

    Args:
        conditions: names in ``degrade.CONDITIONS``; ``clean`` and ``moved`` are always made.
        done: called after each picture.

    Raises:
        EvaluationError: a file that is no picture.
    """
    from castline.evaluation.conditions import CONDITIONS
    from castline.media.pictures import decode_jpeg
    from castline.recognition.analyse import analyse_frames

    shown: dict[str, dict[str, Shown]] = {}
    for condition in dict.fromkeys(("clean", "moved", *conditions)):
        found = shown.setdefault(condition, {})
        for person, paths in data.people.items():
            for path in paths:
                try:
                    image = CONDITIONS[condition](decode_jpeg(path.read_bytes()))
                except (UnitError, OSError) as error:
                    raise EvaluationError(f"{path} is not a picture we can read") from error
                (frame,) = analyse_frames([(0, image)], detector, embedder, max_image_side=_MAX_SIDE)
                face = dominant(frame.faces)
                photo = f"{person}/{path.name}"
                if face and frame.look and (condition == "clean" or photo in shown["clean"]):
                    found[photo] = Shown(person, photo, face, frame.look)
                if done:
                    done()
    return shown


def measure_tracks(
    shown: Conditions,
    model: str,
    detector: str,
    *,
    orders: int,
    enrol: int,
    enrolled_as: str = "clean",
    clips: Sequence[ClipCount] = (),
    done: Callable[[], None] | None = None,
) -> TracksReport:
    """Play every kind of sequence under every condition.

    Args:
        enrolled_as: condition of the enrolled photos, one of those shown.
        done: called after each kind and condition; there are ``len(KINDS) * len(shown)``.

    Raises:
        EvaluationError: too few people or photos, or no such condition.
        ModelError: no thresholds are known for the embedder.
    """
    if enrolled_as not in shown:
        raise EvaluationError(f"{enrolled_as!r} is not a condition; there are {', '.join(shown)}")
    limits = thresholds_for(model)
    counts = []
    for kind in KINDS:
        for condition in (*(name for name in shown if name != "moved"), "mixed"):
            counts.append(
                count(shown, limits, model, kind, condition, orders=orders, enrol=enrol, enrolled_as=enrolled_as)
            )
            if done:
                done()
    sums = {
        name: sum(getattr(each, name) for each in counts)
        for name in TracksCount.model_fields
        if name not in ("kind", "condition")
    }
    clean = shown["clean"]
    lost = {name: len(clean) - len(found) for name, found in shown.items() if len(found) < len(clean)}
    return TracksReport(
        model=model,
        detector=detector,
        people=len({item.person for item in clean.values()}),
        photos=len(clean),
        orders=orders,
        enrol=enrol,
        not_found=lost,
        counts=tuple(counts),
        total=TracksCount(kind="all", condition="all", **sums),
        clips=tuple(clips),
    )


def read_clips(table: Path) -> list[tuple[Path, int]]:
    """Clips with the number of people in each: a tab-separated table with the columns ``file`` and ``people``.

    Raises:
        EvaluationError: not such a table, or a missing file.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{table} is not a tab-separated table in UTF-8: {error}") from error
    clips = []
    for line, row in enumerate(rows, start=2):
        path, people = table.parent / (row.get("file") or ""), row.get("people") or ""
        if not path.is_file() or not people.isdecimal():
            raise EvaluationError(f"{table}, line {line}: needs a file that exists, and a number of people")
        clips.append((path, int(people)))
    return clips


def watch(path: Path, people: int, detector: Detector, embedder: Embedder, settings: Settings) -> ClipCount:
    """Sample a clip as the pipeline does, and count the people in it.

    Raises:
        MediaError: it cannot be decoded.
    """
    from castline.media import FramesPiece, SplitSummary, probe, split
    from castline.media.ffmpeg import Limits
    from castline.media.pictures import decode_jpeg
    from castline.recognition.analyse import analyse_frames

    limits, summary = Limits.of(settings), SplitSummary()
    silent = probe(path, limits).only("video")
    frames: list[FrameFaces] = []
    for piece in split(path, silent, Options(), limits, summary, max_duration_s=settings.max_duration_s):
        if isinstance(piece, FramesPiece):
            with zipfile.ZipFile(io.BytesIO(piece.body)) as archive:
                images = [(time_ms, decode_jpeg(archive.read(f"{time_ms:09d}.jpg"))) for time_ms in piece.names]
            frames += analyse_frames(images, detector, embedder, max_image_side=_MAX_SIDE)
    until = {
        frame.time_ms: frame.until_ms for unit in summary.units() if unit.kind == "frames" for frame in unit.frames
    }
    nobody = Gallery(model=embedder.info.id, fingerprint="")
    groups = people_on(frames, nobody, thresholds_for(embedder.info.id), until)
    return ClipCount(
        file=path.name,
        sightings=sum(len(track.faces) for group in groups for track in group.tracks),
        tracks=sum(len(group.tracks) for group in groups),
        people_found=len(groups),
        people_true=people,
    )
